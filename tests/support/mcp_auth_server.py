"""An authorization server and an MCP server that wants its tokens, in a process of their own.

Started as a program it prints its port and serves until its standard input ends. Plain sockets and
the standard library only, so that it is there at once. What it is asked is written down; how it
answers can be changed while it runs.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit
from urllib.request import Request, urlopen

SECONDS = 5.0


@dataclass
class Asked:
    """One request: what was asked of the server."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body))

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


class AuthServer:
    """The process, from outside."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where the MCP server is."""
        return f"{self.origin}/mcp"

    def set(self, **options: Any) -> None:
        """Change how it answers; see `Options`."""
        self._control("set", options)

    def reset(self) -> None:
        """Forget everything: options, tokens, clients, what was asked."""
        self._control("reset", {})

    def revoke(self, *, refresh: bool = False) -> None:
        """Make the access tokens given so far worthless; perhaps the refresh tokens too."""
        self._control("revoke", {"refresh": refresh})

    def asked(self, path: str = "") -> list[Asked]:
        """What was asked, oldest first; of one path only, if it is given."""
        everything = [Asked(**one) for one in self._control("asked", {})]
        return [one for one in everything if path in ("", one.path)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._process.stdout.close()

    def _control(self, what: str, body: dict[str, Any]) -> Any:
        request = Request(f"{self.origin}/control/{what}", json.dumps(body).encode(), method="POST")
        with urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)


@dataclass
class Options:
    """How it answers.

    Attributes:
        expires_in: Lifetime that is told of access tokens, in seconds; None tells none.
        refreshable: Whether refresh tokens are given; each can be used once.
        scopes: What the metadata offers.
        methods: How clients may show their secrets, as the metadata tells; None tells nothing.
        issuer: Which authorization server the MCP server names; empty is this one.
        authorize_at: The authorization endpoint that the metadata names; empty is this one's.
        iss: What the answer to the browser says: "right", "none", or another address.
        state: Put in place of the state; empty leaves it.
        deny: Error that the browser comes back with; empty agrees.
        token_status: Status of every answer of the token endpoint; 0 answers properly.
        token_bytes: Length of a senseless answer of the token endpoint; 0 answers properly.
        redirect: Where requests to the MCP server are redirected to; empty nowhere.
        client_id: A client that is registered ahead.
        client_secret: Its secret.
        public_key: Its public key, for signed assertions.
        documents: Whether an address may be a client id.
        client_expires_at: When registered clients end, in seconds since the epoch; 0 never.
    """

    expires_in: int | None = 3600
    refreshable: bool = True
    scopes: list[str] | None = None
    methods: list[str] | None = None
    issuer: str = ""
    authorize_at: str = ""
    iss: str = "right"
    state: str = ""
    deny: str = ""
    token_status: int = 0
    token_bytes: int = 0
    redirect: str = ""
    client_id: str = ""
    client_secret: str = ""
    public_key: str = ""
    documents: bool = False
    client_expires_at: int = 0


@dataclass
class World:
    """Everything that can be forgotten."""

    options: Options = field(default_factory=Options)
    asked: list[dict[str, Any]] = field(default_factory=list)
    clients: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    refreshes: dict[str, tuple[str, str]] = field(default_factory=dict)
    held: list[asyncio.Event] = field(default_factory=list)


Answer = tuple[int, dict[str, str], Any]


class _Server:
    def __init__(self) -> None:
        self.world = World()
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                await self._one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = start.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
        parts = urlsplit(target)
        asked = {
            "method": method,
            "path": parts.path,
            "query": dict(parse_qsl(parts.query)),
            "headers": headers,
            "body": body,
        }
        if parts.path.startswith("/control/"):
            status, more, content = self._control(parts.path, json.loads(body))
        else:
            self.world.asked.append(asked)
            status, more, content = await self._answer(Asked(**asked))
        raw = b"" if content is None else json.dumps(content).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(raw)), **more}
        text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{text}\r\n".encode() + raw)
        await writer.drain()

    def _control(self, path: str, body: dict[str, Any]) -> Answer:
        world = self.world
        if path.endswith("/set"):
            for name, value in body.items():
                setattr(world.options, name, value)
        elif path.endswith("/reset"):
            for event in world.held:
                event.set()
            self.world = World()
        elif path.endswith("/revoke"):
            world.tokens.clear()
            if body["refresh"]:
                world.refreshes.clear()
        elif path.endswith("/asked"):
            return 200, {}, world.asked
        return 200, {}, {}

    async def _answer(self, asked: Asked) -> Answer:
        if asked.path == "/.well-known/oauth-protected-resource/mcp":
            return 200, {}, self._about_resource()
        if asked.path == "/.well-known/oauth-authorization-server":
            return 200, {}, self._about_issuer()
        if asked.path == "/as/register" and asked.method == "POST":
            return self._register(json.loads(asked.body))
        if asked.path == "/as/authorize":
            return self._authorize(asked.query)
        if asked.path == "/as/token" and asked.method == "POST":
            return self._token(asked)
        if asked.path == "/mcp":
            return await self._mcp(asked)
        return 404, {}, {"error": "not_found"}

    def _about_resource(self) -> dict[str, Any]:
        issuer = self.world.options.issuer or self.origin
        return {"resource": f"{self.origin}/mcp", "authorization_servers": [issuer]}

    def _about_issuer(self) -> dict[str, Any]:
        options = self.world.options
        about = {
            "issuer": self.origin,
            "authorization_endpoint": options.authorize_at or f"{self.origin}/as/authorize",
            "token_endpoint": f"{self.origin}/as/token",
            "registration_endpoint": f"{self.origin}/as/register",
            "scopes_supported": options.scopes,
            "token_endpoint_auth_methods_supported": options.methods,
            "client_id_metadata_document_supported": options.documents,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return {name: value for name, value in about.items() if value is not None}

    def _register(self, wanted: dict[str, Any]) -> Answer:
        client_id = f"client-{secrets.token_hex(4)}"
        self.world.clients[client_id] = wanted
        given = {
            "client_id": client_id,
            "client_secret_expires_at": self.world.options.client_expires_at,
            "token_endpoint_auth_method": "none",
        }
        return 201, {}, {**wanted, **given}

    def _authorize(self, query: dict[str, str]) -> Answer:
        options = self.world.options
        known = self.world.clients.get(query["client_id"], {}).get("redirect_uris")
        ahead = query["client_id"] == options.client_id or query["client_id"].startswith("https:")
        if not ahead and (not known or query["redirect_uri"] not in known):
            return 400, {}, {"error": "unknown client or redirect_uri"}
        back = {"state": options.state or query["state"]}
        if options.iss != "none":
            back["iss"] = self.origin if options.iss == "right" else options.iss
        if options.deny:
            back["error"], back["error_description"] = options.deny, "the person\r\nsaid no"
        else:
            back["code"] = secrets.token_hex(8)
            self.world.codes[back["code"]] = query
        return 302, {"Location": f"{query['redirect_uri']}?{urlencode(back)}"}, None

    def _token(self, asked: Asked) -> Answer:
        options, form = self.world.options, asked.form
        if options.token_bytes:
            return 200, {}, "x" * options.token_bytes
        if options.token_status:
            return options.token_status, {}, {"error": "temporarily_unavailable"}
        grant = form["grant_type"]
        if grant == "authorization_code":
            return self._by_code(form)
        if grant == "refresh_token":
            return self._by_refresh(form)
        if self._is_client(asked, form):
            return self._given(form.get("scope", ""), "machine", refreshable=False)
        return 401, {}, {"error": "invalid_client"}

    def _by_code(self, form: dict[str, str]) -> Answer:
        query = self.world.codes.pop(form["code"], None)
        if query is None:
            return 400, {}, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        same = all(form[name] == query[name] for name in ("redirect_uri", "client_id", "resource"))
        if proof != query["code_challenge"] or not same:
            return 400, {}, {"error": "invalid_grant", "error_description": "proof or address"}
        return self._given(query.get("scope", ""), form["client_id"])

    def _by_refresh(self, form: dict[str, str]) -> Answer:
        if form["client_id"] not in (*self.world.clients, self.world.options.client_id):
            return 401, {}, {"error": "invalid_client"}
        kept = self.world.refreshes.pop(form["refresh_token"], None)
        if kept is None or kept[1] != form["client_id"]:
            return 400, {}, {"error": "invalid_grant"}
        return self._given(*kept)

    def _is_client(self, asked: Asked, form: dict[str, str]) -> bool:
        options = self.world.options
        assertion = form.get("client_assertion")
        if assertion:
            import jwt

            claims = jwt.decode(
                assertion, options.public_key, algorithms=["ES256"], audience=self.origin
            )
            return claims["sub"] == options.client_id
        pair = form.get("client_id", ""), form.get("client_secret", "")
        header = asked.headers.get("authorization", "")
        if header.startswith("Basic "):
            name, _, word = base64.b64decode(header[6:]).decode().partition(":")
            pair = unquote(name), unquote(word)
        return pair == (options.client_id, options.client_secret)

    def _given(self, scope: str, client: str, *, refreshable: bool = True) -> Answer:
        options = self.world.options
        token = f"access-{secrets.token_hex(8)}"
        self.world.tokens[token] = scope
        answer: dict[str, Any] = {"access_token": token, "token_type": "bearer", "scope": scope}
        if options.expires_in is not None:
            answer["expires_in"] = options.expires_in
        if options.refreshable and refreshable:
            answer["refresh_token"] = f"refresh-{secrets.token_hex(8)}"
            self.world.refreshes[answer["refresh_token"]] = scope, client
        return 200, {}, {name: value for name, value in answer.items() if value != ""}

    async def _mcp(self, asked: Asked) -> Answer:
        if self.world.options.redirect:
            return 307, {"Location": self.world.options.redirect}, None
        scope = self.world.tokens.get(asked.token)
        more = f'resource_metadata="{self.origin}/.well-known/oauth-protected-resource/mcp"'
        if scope is None:
            return 401, {"WWW-Authenticate": f"Bearer {more}"}, {"error": "invalid_token"}
        if '"admin"' in asked.body and "admin" not in scope.split():
            error = f'Bearer error="insufficient_scope", scope="admin", {more}'
            return 403, {"WWW-Authenticate": error}, {"error": "insufficient_scope"}
        if asked.method != "POST":
            return 405, {}, {}
        message = json.loads(asked.body)
        if message.get("method") == "hold":
            self.world.held.append(asyncio.Event())
            await self.world.held[-1].wait()
        if message.get("method") == "release":
            for event in self.world.held:
                event.set()
        return self._result(message)

    def _result(self, message: dict[str, Any]) -> Answer:
        if "id" not in message:
            return 202, {}, None
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "guarded", "version": "1"},
            },
            "tools/list": {"tools": [{"name": "open", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": "came in"}]},
        }
        result = results.get(message.get("method", ""), {})
        return 200, {}, {"jsonrpc": "2.0", "id": message["id"], "result": result}


async def _main() -> None:
    server = _Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**20)
    server.port = listener.sockets[0].getsockname()[1]
    print(server.port, flush=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
    await ended.read()
    listener.close()
    for task in server.tasks:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*server.tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(_main())
