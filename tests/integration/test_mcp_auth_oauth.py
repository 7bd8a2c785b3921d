"""A person signs in: browser, listener, tokens, renewal, refusal. Real sockets, own servers."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any

import httpx2
import mcp.client.auth.extensions.client_credentials  # noqa: F401  slow: not within a test's time
import pytest
from support.mcp_auth_server import AuthServer
from support.mcp_processes import free_port

from mbxai.errors import MCPAuthError
from mbxai.mcp.auth import FileTokenStore, MemoryTokenStore, OAuth
from mbxai.mcp.auth._providers import make_auth

SECONDS = 5.0
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ADMIN = {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"tool": "admin"}}


@pytest.fixture(scope="module")
def process() -> Iterator[AuthServer]:
    with AuthServer() as server:
        yield server


@pytest.fixture
def server(process: AuthServer) -> AuthServer:
    process.reset()
    return process


class Browser:
    """A person who agrees at once; knows which addresses were opened and what the pages said."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.pages: list[httpx2.Response] = []

    async def __call__(self, url: str) -> None:
        self.opened.append(url)
        async with httpx2.AsyncClient(
            verify=False, timeout=SECONDS, follow_redirects=True
        ) as client:
            self.pages.append(await client.get(url))


@asynccontextmanager
async def connection(
    server: AuthServer,
    method: OAuth,
    *,
    name: str = "guarded",
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> AsyncIterator[Callable[..., Any]]:
    """Post to the MCP server as a connection would."""
    auth = make_auth(method, server=name, url=server.url, waiting=waiting)

    async with httpx2.AsyncClient(verify=False, auth=auth, timeout=SECONDS) as client:

        async def post(message: dict[str, Any] = PING) -> httpx2.Response:
            return await asyncio.wait_for(client.post(server.url, json=message), SECONDS)

        yield post


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_of(url: str) -> int:
    back = httpx2.URL(url).params["redirect_uri"]
    return int(httpx2.URL(back).port or 0)


async def test_a_person_signs_in_with_the_browser_and_the_request_goes_through(
    server: AuthServer,
) -> None:
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser, client_name="my app")) as post:
        answer = await post()
    asked = server.asked("/mcp")
    granted = server.asked("/as/token")[0].form
    question = server.asked("/as/authorize")[0].query
    assert answer.status_code == 200
    assert [bool(one.token) for one in asked] == [False, True]
    assert question["code_challenge_method"] == "S256"
    assert question["resource"] == granted["resource"] == server.url
    assert question["redirect_uri"].startswith("http://127.0.0.1:")
    assert '"my app"' in server.asked("/as/register")[0].body
    assert not is_open(port_of(browser.opened[0]))


async def test_the_page_after_signing_in_is_plain_and_runs_nothing(server: AuthServer) -> None:
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        await post()
    page = browser.pages[0]
    assert page.status_code == 200
    assert "close this window" in page.text
    assert "<script" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_two_connections_at_once_open_one_browser(server: AuthServer) -> None:
    opened = asyncio.Event()
    both_wait = asyncio.Event()
    urls: list[str] = []
    pauses: list[str] = []

    async def browse(url: str) -> None:
        urls.append(url)
        opened.set()
        await asyncio.wait_for(both_wait.wait(), SECONDS)
        await Browser()(url)

    @contextmanager
    def waiting() -> Iterator[None]:
        pauses.append("in")
        if len(pauses) == 2:
            both_wait.set()
        yield
        pauses.append("out")

    method = OAuth(open_browser=browse)
    async with (
        connection(server, method, waiting=waiting) as one,
        connection(server, method, waiting=waiting) as other,
    ):
        answers = await asyncio.gather(one(), other())
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(urls) == 1
    assert sorted(pauses) == ["in", "in", "out", "out"]
    assert len(server.asked("/as/token")) == 1


async def test_who_waited_for_somebody_elses_refusal_is_not_asked_again(
    server: AuthServer,
) -> None:
    server.set(deny="access_denied")
    both_wait = asyncio.Event()
    urls: list[str] = []
    waits: list[int] = []

    async def browse(url: str) -> None:
        urls.append(url)
        await asyncio.wait_for(both_wait.wait(), SECONDS)
        await Browser()(url)

    @contextmanager
    def waiting() -> Iterator[None]:
        waits.append(1)
        if len(waits) == 2:
            both_wait.set()
        yield

    method = OAuth(open_browser=browse)
    async with (
        connection(server, method, waiting=waiting) as one,
        connection(server, method, waiting=waiting) as other,
    ):
        outcomes = await asyncio.gather(one(), other(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [MCPAuthError, MCPAuthError]
    assert len(urls) == 1


async def test_a_token_that_is_about_to_expire_is_refreshed_without_a_person(
    server: AuthServer,
) -> None:
    server.set(expires_in=0)
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        await post()
        first = server.asked("/mcp")[-1].token
        answer = await post()
    refreshed = server.asked("/as/token")[-1].form
    assert answer.status_code == 200
    assert server.asked("/mcp")[-1].token != first
    assert refreshed["grant_type"] == "refresh_token"
    assert refreshed["resource"] == server.url
    assert len(browser.opened) == 1


async def test_after_a_restart_a_kept_token_is_refreshed_where_it_came_from(
    server: AuthServer, tmp_path: Any
) -> None:
    server.set(expires_in=0)
    key = FileTokenStore.new_key()
    browser = Browser()
    for _ in range(2):
        store = FileTokenStore(tmp_path / "tokens.json", key)
        async with connection(server, OAuth(open_browser=browser, store=store)) as post:
            assert (await post()).status_code == 200
    grants = [one.form["grant_type"] for one in server.asked("/as/token")]
    assert grants == ["authorization_code", "refresh_token"]
    assert len(browser.opened) == 1
    assert len(server.asked("/as/register")) == 1


async def test_a_revoked_token_is_refreshed_before_a_person_is_asked(server: AuthServer) -> None:
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        await post()
        server.revoke()
        answer = await post()
    assert answer.status_code == 200
    assert len(browser.opened) == 1


async def test_a_refused_refresh_leads_back_to_the_person(server: AuthServer) -> None:
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        await post()
        server.revoke(refresh=True)
        answer = await post()
    assert answer.status_code == 200
    assert len(browser.opened) == 2
    assert len(server.asked("/as/register")) == 1


async def test_a_forgotten_registration_is_made_anew(server: AuthServer) -> None:
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        await post()
        server.reset()
        answer = await post()
    assert answer.status_code == 200
    assert len(server.asked("/as/register")) == 1


async def test_an_unwell_token_endpoint_costs_no_token_and_asks_nobody(server: AuthServer) -> None:
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        await post()
        server.revoke()
        server.set(token_status=503)
        with pytest.raises(MCPAuthError, match=r"HTTP 503.*kept for another try"):
            await post()
        server.set(token_status=0)
        answer = await post()
    assert answer.status_code == 200
    assert len(browser.opened) == 1


async def test_a_tool_that_needs_more_leads_to_a_wider_consent(server: AuthServer) -> None:
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser, scopes=["read"])) as post:
        await post()
        answer = await post(ADMIN)
    scopes = [one.query["scope"] for one in server.asked("/as/authorize")]
    assert answer.status_code == 200
    assert scopes == ["read", "read admin"]


async def test_a_consent_that_never_suffices_is_not_asked_for_without_end(
    server: AuthServer,
) -> None:
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        await post()
        server.set(token_status=400)
        with pytest.raises(MCPAuthError, match="HTTP 400"):
            await post(ADMIN)
    assert len(browser.opened) == 2


async def test_a_person_who_declines_ends_it_with_an_error_of_one_line(server: AuthServer) -> None:
    server.set(deny="access_denied")
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        with pytest.raises(MCPAuthError) as caught:
            await post()
    assert "access_denied (the person said no)" in str(caught.value)
    assert caught.value.server == "guarded"
    assert "Not signed in" in browser.pages[0].text
    assert server.asked("/as/token") == []


async def test_a_person_who_never_comes_ends_it_and_the_port_is_closed(server: AuthServer) -> None:
    urls: list[str] = []
    pauses: list[str] = []

    @contextmanager
    def waiting() -> Iterator[None]:
        pauses.append("in")
        try:
            yield
        finally:
            pauses.append("out")

    method = OAuth(open_browser=urls.append, wait_seconds=0.05)
    async with connection(server, method, waiting=waiting) as post:
        with pytest.raises(MCPAuthError, match=r"nobody signed in within 0\.05 s"):
            await post()
    assert pauses == ["in", "out"]
    assert not is_open(port_of(urls[0]))


async def test_giving_up_the_request_closes_the_port(server: AuthServer) -> None:
    opened = asyncio.get_running_loop().create_future()

    async def browse(url: str) -> None:
        opened.set_result(url)

    async with connection(server, OAuth(open_browser=browse)) as post:
        task = asyncio.create_task(post())
        url = await asyncio.wait_for(opened, SECONDS)
        assert is_open(port_of(url))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_open(port_of(url))


async def test_who_waits_takes_over_when_the_first_gives_up(server: AuthServer) -> None:
    opened = asyncio.Event()
    second_waits = asyncio.Event()
    browser = Browser()
    urls: list[str] = []
    waits: list[int] = []

    async def browse(url: str) -> None:
        urls.append(url)
        opened.set()
        if len(urls) > 1:
            await browser(url)

    @contextmanager
    def waiting() -> Iterator[None]:
        waits.append(1)
        if len(waits) == 2:
            second_waits.set()
        yield

    method = OAuth(open_browser=browse)
    async with (
        connection(server, method, waiting=waiting) as one,
        connection(server, method, waiting=waiting) as other,
    ):
        first = asyncio.create_task(one())
        await asyncio.wait_for(opened.wait(), SECONDS)
        second = asyncio.create_task(other())
        await asyncio.wait_for(second_waits.wait(), SECONDS)
        first.cancel()
        answer = await asyncio.wait_for(second, SECONDS)
        with pytest.raises(asyncio.CancelledError):
            await first
    assert answer.status_code == 200
    assert len(urls) == 2


@pytest.mark.parametrize("deny", ["", "access_denied"])
async def test_an_answer_to_another_question_neither_signs_in_nor_ends_the_wait(
    server: AuthServer, deny: str
) -> None:
    server.set(state="of-another-question", deny=deny)
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser, wait_seconds=1.0)) as post:
        with pytest.raises(MCPAuthError, match="nobody signed in") as caught:
            await post()
    assert "of-another-question" not in str(caught.value)
    assert [page.status_code for page in browser.pages] == [400]
    assert server.asked("/as/token") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": "none"}, "iss"),
    ],
)
async def test_an_answer_of_another_issuer_is_worth_nothing(
    server: AuthServer, options: dict[str, str], said: str
) -> None:
    server.set(**options)
    async with connection(server, OAuth(open_browser=Browser())) as post:
        with pytest.raises(MCPAuthError, match=said):
            await post()
    assert server.asked("/as/token") == []


@pytest.mark.parametrize("address", ["http://example.com/authorize", "http://127.1.evil.example/"])
async def test_a_browser_is_not_sent_to_an_address_without_tls(
    server: AuthServer, address: str
) -> None:
    server.set(authorize_at=address)
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        with pytest.raises(MCPAuthError, match="only https"):
            await post()
    assert browser.opened == []


async def test_a_service_receives_the_redirect_itself(server: AuthServer) -> None:
    told: list[str] = []

    async def callback(url: str) -> str:
        async with httpx2.AsyncClient(verify=False, timeout=SECONDS) as client:
            return (await client.get(url)).headers["location"]

    method = OAuth(
        redirect_uri="https://app.example/back", callback=callback, on_authorize=told.append
    )
    async with connection(server, method) as post:
        answer = await post()
    assert answer.status_code == 200
    assert told[0].startswith(f"{server.origin}/as/authorize?")
    assert server.asked("/as/authorize")[0].query["redirect_uri"] == "https://app.example/back"


async def test_a_service_may_hand_over_parameters_in_place_of_the_address(
    server: AuthServer,
) -> None:
    async def callback(url: str) -> dict[str, str]:
        async with httpx2.AsyncClient(verify=False, timeout=SECONDS) as client:
            return dict(httpx2.URL((await client.get(url)).headers["location"]).params)

    method = OAuth(redirect_uri="https://app.example/back", callback=callback)
    async with connection(server, method) as post:
        answer = await post()
    assert answer.status_code == 200


async def test_a_callback_that_fails_is_named(server: AuthServer) -> None:
    async def callback(url: str) -> str:
        raise RuntimeError("secret inside")

    method = OAuth(redirect_uri="https://app.example/back", callback=callback)
    async with connection(server, method) as post:
        with pytest.raises(MCPAuthError, match=r"callback failed \(RuntimeError\)") as caught:
            await post()
    assert "secret inside" not in str(caught.value)


async def test_the_redirect_port_may_be_chosen_and_says_when_it_is_taken(
    server: AuthServer,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        method = OAuth(open_browser=Browser(), redirect_port=taken.getsockname()[1])
        async with connection(server, method) as post:
            with pytest.raises(MCPAuthError, match="another redirect_port"):
                await post()
    assert server.asked("/as/register") == []


async def test_the_address_to_come_back_to_may_be_chosen_and_a_person_be_told_only(
    server: AuthServer,
) -> None:
    back = f"http://localhost:{free_port()}/come/back"
    method = OAuth(redirect_uri=back, open_browser=False, on_authorize=Browser())
    async with connection(server, method) as post:
        answer = await post()
    assert answer.status_code == 200
    assert server.asked("/as/authorize")[0].query["redirect_uri"] == back


async def test_a_document_in_place_of_a_registration(server: AuthServer) -> None:
    server.set(documents=True)
    document = "https://app.example/client.json"
    method = OAuth(client_metadata_url=document, open_browser=Browser())
    async with connection(server, method) as post:
        answer = await post()
    assert answer.status_code == 200
    assert server.asked("/as/register") == []
    assert server.asked("/as/token")[0].form["client_id"] == document


async def test_a_registration_that_has_ended_is_made_anew(server: AuthServer) -> None:
    server.set(client_expires_at=1, refreshable=False)
    async with connection(server, OAuth(open_browser=Browser())) as post:
        await post()
        server.revoke()
        answer = await post()
    assert answer.status_code == 200
    assert len(server.asked("/as/register")) == 2


async def test_a_registration_whose_port_is_taken_is_made_anew(server: AuthServer) -> None:
    server.set(refreshable=False)
    browser = Browser()
    async with connection(server, OAuth(open_browser=browser)) as post:
        await post()
        server.revoke()
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port_of(browser.opened[0])))
            taken.listen()
            answer = await post()
    assert answer.status_code == 200
    assert len(server.asked("/as/register")) == 2


async def test_the_listener_answers_strangers_without_being_misled(server: AuthServer) -> None:
    statuses: list[int] = []

    async def browse(url: str) -> None:
        back = httpx2.URL(url).params["redirect_uri"]
        async with httpx2.AsyncClient(verify=False, timeout=SECONDS) as client:
            strange = [
                await client.get(back.replace("/callback", "/favicon.ico")),
                await client.get(back),
                await client.get(f"{back}?code=1&code=2"),
                await client.get(f"{back}?code=1", headers={"Host": "rebound.example"}),
                await client.post(f"{back}?code=1"),
                await client.get(f"{back}?{'a=1&' * 40}code=1"),
            ]
        statuses.extend(answer.status_code for answer in strange)
        await Browser()(url)

    async with connection(server, OAuth(open_browser=browse)) as post:
        answer = await post()
    assert statuses == [404, 400, 400, 400, 400, 400]
    assert answer.status_code == 200


async def test_an_endless_answer_of_the_token_endpoint_is_cut(server: AuthServer) -> None:
    server.set(token_bytes=2 * 1024 * 1024)
    async with connection(server, OAuth(open_browser=Browser())) as post:
        with pytest.raises(MCPAuthError, match="answered more than 1048576 bytes"):
            await post()


async def test_nothing_of_the_tokens_is_logged_or_shown(
    server: AuthServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    method = OAuth(open_browser=Browser())
    async with connection(server, method) as post:
        await post()
        server.revoke(refresh=True)
        server.set(deny="access_denied")
        with pytest.raises(MCPAuthError):
            await post()
    token = server.asked("/mcp")[-1].token
    form = server.asked("/as/token")[0].form
    # The code stands in addresses that this test's own browser visits.
    ours = [one for one in caplog.messages if "/callback" not in one and "/authorize" not in one]
    shown = "\n".join([*ours, caplog.text.partition("Traceback")[1], repr(method)])
    secrets = [token, form["code"], form["code_verifier"], "Traceback"]
    assert token
    assert len(ours) > 5
    assert [word for word in secrets if word in shown] == []


async def test_a_long_call_does_not_keep_others_waiting(server: AuthServer) -> None:
    async with connection(server, OAuth(open_browser=Browser())) as post:
        await post()
        held = asyncio.create_task(post({**PING, "method": "hold"}))
        while not any("hold" in one.body for one in server.asked("/mcp")):
            await asyncio.sleep(0.01)
        answer = await post({**PING, "method": "release"})
        assert (await held).status_code == 200
    assert answer.status_code == 200


async def test_connections_on_two_loops_share_one_sign_in(server: AuthServer) -> None:
    both = threading.Barrier(2)
    browser = Browser()
    method = OAuth(open_browser=browser, store=MemoryTokenStore())
    statuses: list[int] = []

    async def one() -> None:
        async with connection(server, method) as post:
            await asyncio.to_thread(both.wait, SECONDS)
            statuses.append((await post()).status_code)

    threads = [threading.Thread(target=lambda: asyncio.run(one())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join, SECONDS)
    assert statuses == [200, 200]
    assert len(browser.opened) == 1
