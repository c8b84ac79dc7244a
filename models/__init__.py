"""Engines: what turns a frame into a measurement."""
