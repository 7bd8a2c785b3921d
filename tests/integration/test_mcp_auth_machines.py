"""Programs sign in by themselves, and no token goes where it does not belong."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import mcp.client.auth.extensions.client_credentials  # noqa: F401  slow: not within a test's time
import pytest
from support.mcp_auth_server import AuthServer

from mbxai.errors import MCPAuthError
from mbxai.mcp.auth import (
    AuthMethod,
    BearerToken,
    ClientCredentials,
    EnterpriseAuth,
    FileTokenStore,
    MemoryTokenStore,
    OAuth,
    PrivateKeyJWT,
)
from mbxai.mcp.auth._providers import make_auth

SECONDS = 5.0
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
SECRET = "machine-secret-4711"


@pytest.fixture(scope="module")
def processes() -> Iterator[tuple[AuthServer, AuthServer]]:
    with AuthServer() as one, AuthServer() as other:
        yield one, other


@pytest.fixture
def servers(processes: tuple[AuthServer, AuthServer]) -> tuple[AuthServer, AuthServer]:
    for process in processes:
        process.reset()
        process.set(client_id="machine", client_secret=SECRET)
    return processes


@pytest.fixture
def server(servers: tuple[AuthServer, AuthServer]) -> AuthServer:
    return servers[0]


@asynccontextmanager
async def connection(
    server: AuthServer, method: AuthMethod, *, name: str = "guarded", url: str = ""
) -> AsyncIterator[Callable[..., Any]]:
    auth = make_auth(method, server=name, url=url or server.url, waiting=nullcontext)

    async with httpx2.AsyncClient(
        verify=False, auth=auth, timeout=SECONDS, follow_redirects=True
    ) as client:

        async def post(url: str = server.url) -> httpx2.Response:
            return await asyncio.wait_for(client.post(url, json=PING), SECONDS)

        yield post


async def sign_in(url: str) -> str:
    async with httpx2.AsyncClient(verify=False, timeout=SECONDS) as client:
        return (await client.get(url)).headers["location"]


def oauth(**options: Any) -> OAuth:
    return OAuth(redirect_uri="https://app.example/back", callback=sign_in, **options)


@pytest.mark.parametrize("methods", [None, ["client_secret_post"], ["client_secret_basic"]])
async def test_a_program_signs_in_with_its_secret_shown_as_the_server_can_read_it(
    server: AuthServer, methods: list[str] | None
) -> None:
    server.set(methods=methods)
    method = ClientCredentials(client_id="machine", client_secret=SECRET, scopes=["jobs"])
    async with connection(server, method) as post:
        answer = await post()
    asked = server.asked("/as/token")[0]
    assert answer.status_code == 200
    assert asked.form["scope"] == "jobs"
    assert asked.form["resource"] == server.url
    assert ("client_secret" in asked.form) == (methods == ["client_secret_post"])


async def test_a_chosen_way_to_show_the_secret_is_kept_to(server: AuthServer) -> None:
    method = ClientCredentials(client_id="machine", client_secret=SECRET, method="post")
    async with connection(server, method) as post:
        answer = await post()
    assert answer.status_code == 200
    assert server.asked("/as/token")[0].form["client_secret"] == SECRET


async def test_a_wrong_secret_is_an_error_that_names_the_reason_and_not_the_secret(
    server: AuthServer,
) -> None:
    method = ClientCredentials(client_id="machine", client_secret="wrong-secret-0815")
    async with connection(server, method) as post:
        with pytest.raises(MCPAuthError, match="invalid_client") as caught:
            await post()
    assert "0815" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_a_program_signs_in_with_a_key(server: AuthServer) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = key.public_key().public_bytes(
        form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo
    )
    server.set(public_key=public.decode())
    method = PrivateKeyJWT(client_id="machine", key=pem.decode(), algorithm="ES256")
    async with connection(server, method) as post:
        answer = await post()
    assert answer.status_code == 200
    assert "PRIVATE" not in repr(method)


async def test_a_key_that_does_not_fit_is_an_error_without_the_key(server: AuthServer) -> None:
    method = PrivateKeyJWT(client_id="machine", key="-----BEGIN nonsense", algorithm="ES256")
    async with connection(server, method) as post:
        with pytest.raises(MCPAuthError, match="cannot sign as ES256") as caught:
            await post()
    assert "nonsense" not in str(caught.value)


async def test_a_ready_assertion_is_asked_for_with_the_issuer(server: AuthServer) -> None:
    audiences: list[str] = []

    async def assertion(audience: str) -> str:
        audiences.append(audience)
        raise LookupError("no workload here")

    method = PrivateKeyJWT(client_id="machine", assertion=assertion)
    async with connection(server, method) as post:
        with pytest.raises(MCPAuthError, match=r"assertion failed \(LookupError\)"):
            await post()
    assert audiences == [server.origin]


async def test_an_enterprise_vouches_for_a_person(server: AuthServer) -> None:
    asked: list[tuple[str, str]] = []

    def assertion(issuer: str, resource: str) -> str:
        asked.append((issuer, resource))
        return "signed.by.enterprise"

    method = EnterpriseAuth(
        client_id="machine",
        client_secret=SECRET,
        issuer=server.origin,
        assertion=assertion,
        scopes=["mail"],
    )
    async with connection(server, method) as post:
        answer = await post()
    form = server.asked("/as/token")[0].form
    assert answer.status_code == 200
    assert asked == [(server.origin, server.url)]
    assert (form["assertion"], form["scope"]) == ("signed.by.enterprise", "mail")
    assert server.asked("/.well-known/oauth-protected-resource/mcp") == []


@pytest.mark.parametrize("kind", ["person", "machine"])
async def test_a_secret_is_not_shown_to_an_issuer_that_was_not_meant(
    servers: tuple[AuthServer, AuthServer], kind: str
) -> None:
    server, evil = servers
    server.set(issuer=evil.origin)
    given = {"client_id": "machine", "client_secret": SECRET, "issuer": server.origin}
    method = oauth(**given) if kind == "person" else ClientCredentials(**given)
    async with connection(server, method) as post:
        with pytest.raises(MCPAuthError, match="issuer"):
            await post()
    everything = server.asked() + evil.asked()
    assert (
        evil.asked("/as/token") == evil.asked("/as/register") == evil.asked("/as/authorize") == []
    )
    assert [one.path for one in everything if SECRET in str(one)] == []


async def test_a_client_that_was_registered_ahead_does_not_register(server: AuthServer) -> None:
    method = oauth(client_id="machine", client_secret=SECRET, issuer=server.origin)
    async with connection(server, method) as post:
        answer = await post()
    assert answer.status_code == 200
    assert server.asked("/as/register") == []
    assert server.asked("/as/authorize")[0].query["client_id"] == "machine"


async def test_tokens_of_two_servers_in_one_store_stay_apart(
    servers: tuple[AuthServer, AuthServer], tmp_path: Path
) -> None:
    store = FileTokenStore(tmp_path / "tokens.json", FileTokenStore.new_key())
    method = oauth(store=store)
    for server, name in zip(servers, ("one", "other"), strict=True):
        async with connection(server, method, name=name) as post:
            assert (await post()).status_code == 200
    mine, theirs = ({one.token for one in server.asked() if one.token} for server in servers)
    assert len(mine) == len(theirs) == 1
    assert mine.isdisjoint(theirs)


async def test_one_name_at_another_origin_gets_no_token_of_the_former(
    servers: tuple[AuthServer, AuthServer],
) -> None:
    first, moved = servers
    method = oauth(store=MemoryTokenStore())
    async with connection(first, method) as post:
        await post()
    async with connection(moved, method) as post:
        await post()
    known = {one.token for one in first.asked() if one.token}
    assert known
    assert known.isdisjoint({one.token for one in moved.asked()})


async def test_a_redirect_to_another_server_takes_no_token_along(
    servers: tuple[AuthServer, AuthServer],
) -> None:
    server, evil = servers
    method = ClientCredentials(client_id="machine", client_secret=SECRET)
    async with connection(server, method) as post:
        await post()
        server.set(redirect=evil.url)
        answer = await post()
    assert answer.status_code == 401
    assert len(evil.asked()) == 1
    assert "authorization" not in evil.asked()[0].headers


async def test_a_request_to_another_origin_gets_no_token(
    servers: tuple[AuthServer, AuthServer],
) -> None:
    server, evil = servers
    method = ClientCredentials(client_id="machine", client_secret=SECRET)
    async with connection(server, method) as post:
        await post()
        answer = await post(evil.url)
    assert answer.status_code == 401
    assert "authorization" not in evil.asked("/mcp")[0].headers
    assert evil.asked("/as/token") == []


async def test_of_a_server_known_by_its_host_the_path_that_answers_counts(
    server: AuthServer,
) -> None:
    method = ClientCredentials(client_id="machine", client_secret=SECRET)
    async with connection(server, method, url=server.origin) as post:
        answers = [await post(f"{server.origin}/"), await post(f"{server.url}?key=1")]
    assert [answer.status_code for answer in answers] == [404, 200]
    assert server.asked("/as/token")[0].form["resource"] == server.url


async def test_two_accounts_of_one_store_have_tokens_of_their_own(server: AuthServer) -> None:
    store = MemoryTokenStore()
    for account in ("alice", "bob", "alice"):
        async with connection(server, oauth(store=store, account=account)) as post:
            await post()
    assert len(server.asked("/as/token")) == 2


async def test_tokens_that_do_not_open_are_an_error_and_stay_as_they_are(
    server: AuthServer, tmp_path: Path
) -> None:
    path = tmp_path / "tokens.json"
    async with connection(server, oauth(store=FileTokenStore(path, b"1" * 32))) as post:
        await post()
    before = path.read_bytes()
    async with connection(server, oauth(store=FileTokenStore(path, b"2" * 32))) as post:
        with pytest.raises(MCPAuthError, match="do not open"):
            await post()
    assert path.read_bytes() == before
    assert len(server.asked("/as/authorize")) == 1


async def test_a_bearer_token_is_asked_for_anew_when_it_is_refused(server: AuthServer) -> None:
    async with connection(server, oauth()) as post:
        await post()
    good = server.asked("/mcp")[-1].token
    given = iter(["expired-token-1", good, good])
    async with connection(server, BearerToken(lambda: next(given))) as post:
        answers = [await post(), await post()]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [one.token for one in server.asked("/mcp")[-3:]] == ["expired-token-1", good, good]


async def test_a_bearer_token_that_stays_refused_is_sent_once_more_at_most(
    server: AuthServer,
) -> None:
    calls: list[int] = []

    async def source() -> str:
        calls.append(1)
        return f"useless-token-{len(calls)}"

    async with connection(server, BearerToken(source)) as post:
        answer = await post()
    assert answer.status_code == 401
    assert [one.token for one in server.asked("/mcp")] == ["useless-token-1", "useless-token-2"]


@pytest.mark.parametrize("token", ["", "two\nlines", " padded", None])
async def test_a_source_without_a_usable_token_is_an_error(
    server: AuthServer, token: str | None
) -> None:
    async with connection(server, BearerToken(lambda: token)) as post:  # type: ignore[arg-type, return-value]
        with pytest.raises(MCPAuthError, match="no usable token"):
            await post()
    assert server.asked("/mcp") == []


async def test_a_login_is_not_led_to_an_address_without_tls(server: AuthServer) -> None:
    server.set(issuer="http://192.0.2.1")
    method = ClientCredentials(client_id="machine", client_secret=SECRET)
    async with connection(server, method) as post:
        with pytest.raises(MCPAuthError, match=r"192\.0\.2\.1/.*not reached over https"):
            await post()


async def test_an_authorization_server_that_is_gone_is_named(server: AuthServer) -> None:
    server.set(issuer="http://127.0.0.1:9")
    method = ClientCredentials(client_id="machine", client_secret=SECRET)
    async with connection(server, method) as post:
        with pytest.raises(MCPAuthError, match=r"127\.0\.0\.1:9/.* could not be reached"):
            await post()


async def test_the_package_client_connects_and_calls_through_a_login(server: AuthServer) -> None:
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    auth = make_auth(oauth(), server="guarded", url=server.url, waiting=nullcontext)
    async with (
        httpx2.AsyncClient(verify=False, auth=auth, timeout=SECONDS) as http,
        Client(streamable_http_client(server.url, http_client=http), mode="legacy") as client,
    ):
        result = await asyncio.wait_for(client.call_tool("open", {}), SECONDS)
    assert result.content[0].text == "came in"  # type: ignore[union-attr]
    assert len(server.asked("/as/token")) == 1


async def test_a_connection_signs_in_and_calls_and_the_openrouter_key_stays_here(
    server: AuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mbxai.mcp.connection._connection import ServerConnection
    from mbxai.mcp.connection._targets import ServerTarget

    key = "sk-or-v1-0123456789abcdef"
    monkeypatch.setenv("OPENROUTER_API_KEY", key)
    target = ServerTarget(name="guarded", url=server.url, auth=oauth(), mode="legacy")
    link = ServerConnection(target)
    try:
        await link.connect()
        result = await link.call_tool("open", {})
    finally:
        await link.aclose()
    everything = server.asked()
    assert result["content"][0]["text"] == "came in"  # type: ignore[index]
    assert len(server.asked("/as/token")) == 1
    assert len(everything) > 6
    assert [one.path for one in everything if key in str(one)] == []


async def test_a_connection_that_nobody_signs_in_for_is_an_error_of_the_login(
    server: AuthServer,
) -> None:
    from mbxai.mcp.connection._connection import ServerConnection
    from mbxai.mcp.connection._targets import ServerTarget

    server.set(deny="access_denied")
    link = ServerConnection(ServerTarget(name="guarded", url=server.url, auth=oauth()))
    try:
        with pytest.raises(MCPAuthError, match="access_denied"):
            await link.connect()
    finally:
        await link.aclose()
    assert len(server.asked("/as/authorize")) == 1
