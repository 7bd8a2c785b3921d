"""`mbxai serve`: an agent of the user's own code as a service on this machine, with a page."""

import asyncio
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from mbxai.agent import AsyncAgentClient
from mbxai.agent.models import Result
from mbxai.cli._exit_codes import DONE
from mbxai.cli._failures import tell
from mbxai.cli._load import load_model
from mbxai.cli._sessions_work import made, opened
from mbxai.errors import ConfigurationError
from mbxai.fastapi import agent_router
from mbxai.inspector import LOOPBACK, LoopbackGuard

_PREFIX: Final = "/agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What the command line says; see `mbxai serve --help`."""

    target: str
    schemas: Collection[str] = ()
    host: str = "127.0.0.1"
    port: int = 8765
    allowed_hosts: Collection[str] = ()
    has_token: bool = True
    scope: str = ""


def serve(options: ServeOptions) -> int:
    """Serve an agent and the inspector until the process is told to end.

    Args:
        options: What the command line says.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: The agent cannot be loaded, or anybody in the network could use it.
    """
    is_local = options.host in {"localhost", "127.0.0.1", "::1"}
    if not is_local and not (options.has_token and options.allowed_hosts):
        raise ConfigurationError(
            f"{options.host} is reached by others.",
            hint="Leave the token on, and name with --allow-host under which names it is asked.",
        )
    target = made(options.target)
    models = [load_model(name) for name in options.schemas] or [Result]
    return asyncio.run(_serve(target, models, options))  # noqa: TID251 - the program's own loop


async def _serve(target: object, models: list[type[BaseModel]], options: ServeOptions) -> int:
    async with opened(target, options.target) as agent:
        token = secrets.token_urlsafe(24) if options.has_token else None
        hosts = {*LOOPBACK, *options.allowed_hosts}
        app = LoopbackGuard(_app(agent, models, options.scope), token=token, hosts=hosts)
        # A log of requests would hold the token.
        config = uvicorn.Config(app, access_log=False, log_level="warning")
        with _listener(options.host, options.port) as listener:
            host, port = listener.getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            query = f"?token={token}" if token else ""
            tell(f"http://{name}:{port}{_PREFIX}/inspector{query}")
            await uvicorn.Server(config).serve(sockets=[listener])
    return DONE


def _app(agent: AsyncAgentClient, models: list[type[BaseModel]], scope: str) -> FastAPI:
    def who() -> str:
        return scope

    app = FastAPI(title="mbxai", docs_url=None, redoc_url=None)
    app.include_router(
        agent_router(agent, scope=who, responses=models, prefix=_PREFIX, inspector=True)
    )
    return app


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"Nothing can listen at {host}, port {port}: {error.strerror or error}.",
            hint="Take another one with --port; 0 takes any that is free.",
        ) from error
