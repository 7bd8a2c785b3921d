"""Who is let in: tokens, what they allow, and what a refused caller is told."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from mbxai.errors import ConfigurationError
from mbxai.mcp.server import AccessToken, BearerAuth, MCPServer
from mbxai.mcp.serving._bearer import bearer_token, challenge, missing_scopes, verified
from mbxai.mcp.serving._guards import BearerGuard

ADA = AccessToken(client_id="app", subject="ada", scopes=["read"])


def auth(found: Any = ADA, **options: Any) -> BearerAuth:
    return BearerAuth(verify=lambda token: found, **options)


async def test_a_token_or_its_claims_are_understood() -> None:
    assert await verified(auth(), "t") is ADA
    claims = {
        "sub": "bob",
        "azp": "app",
        "scope": "read write",
        "iss": "https://login.example",
        "aud": "https://here.example/mcp/",
        "exp": time.time() + 60,
        "nbf": time.time() - 60,
        "active": True,
    }
    token = await verified(auth(claims, resource="https://here.example/mcp"), "t")
    assert token is not None
    assert (token.client_id, token.subject, token.scopes) == ("app", "bob", ("read", "write"))
    assert missing_scopes(token, ["read", "admin"]) == ["admin"]
    assert missing_scopes(None, ["read"]) == ["read"]

    async def later(token: str) -> Mapping[str, Any]:
        return claims

    assert await verified(BearerAuth(verify=later), "t") is not None


@pytest.mark.parametrize(
    "found",
    [
        None,
        True,
        "ada",
        {"sub": "ada", "exp": 1},
        {},
        {"scope": "read"},
        {"sub": "ada", "active": False},
        {"sub": "ada", "active": "true"},
        {"sub": "ada", "exp": "tomorrow"},
        {"sub": "ada", "exp": True},
        {"sub": "ada", "exp": float("nan")},
        {"sub": "ada", "nbf": 4e9},
        {"sub": "ada", "nbf": "yesterday"},
        {"sub": "ada", "aud": ["https://other.example"]},
        AccessToken(client_id="app", expires_at=1.0),
    ],
)
async def test_any_other_answer_is_a_no(found: Any) -> None:
    assert await verified(auth(found, resource="https://here.example/mcp"), "t") is None


async def test_a_verifier_that_fails_lets_nobody_in_and_no_token_into_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(token: str) -> None:
        raise RuntimeError(token)

    assert await verified(BearerAuth(verify=broken), "precious") is None
    assert "precious" not in caplog.text
    assert "RuntimeError" in caplog.text


def test_a_token_is_found_in_its_header() -> None:
    assert bearer_token("Bearer abc") == "abc"
    assert bearer_token("bearer  abc ") == "abc"
    assert bearer_token("Basic abc") == ""
    assert bearer_token("") == ""
    assert challenge("https://x", scopes=["a", "b"]) == (
        'Bearer scope="a b", resource_metadata="https://x"'
    )


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": "http://login.example"},
        {"resource": "not an address"},
        {"scopes": "read write"},
        {"scopes": ['a"b']},
        {"scopes": [""]},
        {"scopes": [1]},
        {"verify": "token"},
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        BearerAuth(**{"verify": lambda token: None, **options})
    assert BearerAuth(verify=lambda token: None, issuer="http://localhost:1").issuer


class Door:
    """A guard in front of nothing, and what it answers."""

    def __init__(self, *, path: str = "/mcp", **options: Any) -> None:
        server = MCPServer("s", auth=auth(**options))

        @server.tool(scopes=["write"])
        def write() -> str:
            return ""

        @server.tool
        def read() -> str:
            return ""

        self.passed: list[Any] = []
        rules = server._features.settings.auth
        assert rules is not None
        self.guard = BearerGuard(self._inside, server._features, rules, path)

    async def _inside(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"] if scope["method"] == "POST" else b""
        self.passed.append((scope["user"].access_token.subject, body))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def knock(
        self, path: str, *, root: str = "", token: str = "t", chunks: list[bytes] | None = None
    ) -> tuple[int, dict[bytes, bytes]]:
        sent: list[Any] = []
        waiting = list(chunks or [])

        async def receive() -> Any:
            body = waiting.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(waiting)}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"here.example")]
        if token:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        scope = {
            "type": "http",
            "method": "GET" if chunks is None else "POST",
            "scheme": "https",
            "path": root + path,
            "root_path": root,
            "headers": headers,
        }
        await self.guard(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"])


CALL = b'{"method": "tools/call", "params": {"name": "%s"}}'


async def test_a_call_needs_the_scopes_of_its_tool_whatever_way_it_is_made() -> None:
    door = Door()
    half = [(CALL % b"write")[:20], (CALL % b"write")[20:]]
    assert (await door.knock("/mcp", chunks=half))[0] == 403
    assert (
        await door.knock("/mcp", chunks=[b"[" + CALL % b"read" + b"," + CALL % b"write" + b"]"])
    )[0] == 403
    assert (await door.knock("/tools/write/invoke", chunks=[b"{}"]))[0] == 403
    assert door.passed == []
    assert (await door.knock("/mcp", chunks=[CALL % b"read"]))[0] == 200
    assert (await door.knock("/mcp", chunks=[b"no JSON"]))[0] == 200
    assert (await door.knock("/mcp"))[0] == 200
    assert [body for _, body in door.passed] == [CALL % b"read", b"no JSON", b""]
    assert door.passed[0][0] == "ada"
    large = [b" " * 3_000_000, b" " * 3_000_000]
    assert (await door.knock("/mcp", chunks=large))[0] == 413


@pytest.mark.parametrize(
    ("resource", "root", "address"),
    [
        ("", "", "https://here.example/.well-known/oauth-protected-resource/mcp"),
        ("", "/api", "https://here.example/api/.well-known/oauth-protected-resource/mcp"),
        (
            "https://pub.example/x/mcp",
            "",
            "https://pub.example/.well-known/oauth-protected-resource/x/mcp",
        ),
        (
            "https://pub.example/api/mcp",
            "/api",
            "https://pub.example/api/.well-known/oauth-protected-resource/api/mcp",
        ),
    ],
)
async def test_a_refusal_names_an_address_that_is_served(
    resource: str, root: str, address: str
) -> None:
    door = Door(resource=resource)
    status, headers = await door.knock("/mcp", root=root, token="")
    assert status == 401
    assert headers[b"www-authenticate"].decode() == f'Bearer resource_metadata="{address}"'
    path = "/" + address.split("/", 3)[3].removeprefix(f"{root[1:]}/" if root else "")
    assert (await door.knock(path, root=root, token=""))[0] == 200
    elsewhere = "/.well-known/oauth-protected-resource/other"
    assert (await door.knock(elsewhere, root=root, token=""))[0] == 404
