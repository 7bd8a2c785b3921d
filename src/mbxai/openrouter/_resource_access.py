"""The resources of a client, loaded when they are first asked for."""

from mbxai.openrouter._core import ClientCore


class AsyncResources:
    """Base of the client: one property a resource."""

    _core: ClientCore


class Resources:
    """Base of the blocking client: one property a resource."""
