"""A served workspace from Python: the verbs of `Workspace` over HTTP.

It needs no package beside kn-edit itself, and neither loads a model nor opens a ledger.
"""

from kn_edit.client.remote import RemoteWorkspace

__all__ = ["RemoteWorkspace"]
