"""Keys: who a client is and what it may do, as files; see ``docs/decisions/0007-keys-and-scopes.md``."""

from microscoped.daemon.keys.errors import KeysError
from microscoped.daemon.keys.files import ClientKey, ServerKey, User, read_client_key
from microscoped.daemon.keys.folder import KeyFolder, config_folder, default_folder

__all__ = [
    "ClientKey",
    "KeyFolder",
    "KeysError",
    "ServerKey",
    "User",
    "config_folder",
    "default_folder",
    "read_client_key",
]
