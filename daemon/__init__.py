"""The microscoped daemon: loop, protocol, focus, client, command line.

This module holds the version and imports nothing, so that ``microscoped.daemon.client`` stays light.
"""

__version__ = "0.1.0"
