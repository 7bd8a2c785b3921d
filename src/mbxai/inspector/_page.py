"""The page as one document: nothing is loaded from elsewhere, and nothing else may run in it."""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

_SCRIPTS: Final = ("dom", "state", "graph", "forms", "views", "api", "app")


@dataclass(frozen=True, slots=True)
class Page:
    """A document and how it is to be served.

    Attributes:
        body: HTML in UTF-8.
        headers: Of the response, a Content-Security-Policy among them.
    """

    body: bytes
    headers: dict[str, str]


@cache
def inspector_page() -> Page:
    """Return the inspector's page.

    It asks the service beside whose paths it stands: served at `/agent/inspector`, it uses
    `/agent/sessions` and what is below.
    """
    folder = files("mbxai.inspector")
    style = (folder / "page.css").read_text("utf-8")
    script = "\n".join((folder / f"{name}.js").read_text("utf-8") for name in _SCRIPTS)
    html = (folder / "page.html").read_text("utf-8")
    html = html.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": _policy(style, script),
        "cache-control": "no-store",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    return Page(html.encode(), headers)


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
