"""Simulated microscopes: honest optics and noise, recorded stacks, refocused fields.

They satisfy the Protocols of ``microscoped.drivers`` and import nothing else of the project.
"""
