"""What `http_client=` takes."""

from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:  # slow to load
    import httpx
    import httpx2

# Union, since a quoted type knows no `|` at run time.
HTTPClient: TypeAlias = Union["httpx.AsyncClient", "httpx2.AsyncClient"]
"""A client of httpx, or of httpx2, whose classes have the same methods."""
