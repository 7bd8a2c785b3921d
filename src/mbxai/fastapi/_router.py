"""`agent_router`: sessions of an agent over HTTP."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from pydantic import BaseModel

from mbxai.agent import AgentClient, AsyncAgentClient
from mbxai.errors import ConfigurationError, MBXAIError
from mbxai.fastapi._ag_ui import add_ag_ui
from mbxai.fastapi._bodies import SessionState
from mbxai.fastapi._endpoints import Endpoints
from mbxai.fastapi._route import bounded_route
from mbxai.fastapi._vercel import add_vercel
from mbxai.inspector import inspector_page
from mbxai.serving import RunManager
from mbxai.sessions import is_id

_PROBLEMS: dict[int | str, dict[str, Any]] = {  # Any: parts of an OpenAPI document
    status: {"description": text, "content": {"application/problem+json": {}}}
    for status, text in (
        (403, "The page that sent it is of a foreign origin."),
        (404, "There is no such session or request."),
        (409, "The session, or the request to a person, does not allow it now."),
        (412, "The session has changed."),
        (413, "The body is too large."),
        (415, "The body is no JSON."),
        (422, "The request is not as it should be."),
        (429, "Too many runs are waiting."),
        (503, "Sessions cannot be reached."),
    )
}


def anonymous() -> str:
    """Say that nobody is told apart: everybody may see and answer every session.

    It is written out, `agent_router(agent, scope=anonymous, ...)`, because it is rarely meant.
    """
    return ""


def agent_router(
    agent: AsyncAgentClient | AgentClient,
    *,
    scope: Callable[..., object],
    responses: Iterable[type[BaseModel]],
    prefix: str = "/agent",
    max_running: int = 8,
    max_waiting: int = 100,
    works: bool = True,
    grace_seconds: float = 10.0,
    max_body_bytes: int = 1024 * 1024,
    trusted_origins: Iterable[str] = (),
    inspector: bool = False,
) -> APIRouter:
    """Return a router with the sessions of an agent.

    Runs are apart from requests: one that breaks ends no run. They begin and end with the
    application that the router is included in.

    Args:
        agent: Runs the sessions; it stays the caller's to close.
        scope: Says who is asking: a FastAPI dependency that returns the id of a user or tenant, or
            raises. Sessions of others are not found. `anonymous` tells nobody apart.
        responses: Pydantic models that a final response may be asked for as, by their names. The
            first one is what runs for front ends (AG-UI, AI SDK) give.
        prefix: Of all paths.
        max_running: Sessions that run at once in this process, at most.
        max_waiting: Sessions that may wait for a worker, over all processes; one more is a 429.
        works: Whether this process runs sessions; if not, workers elsewhere do.
        grace_seconds: How long runs may take to come to rest when the application ends; then they
            are another worker's.
        max_body_bytes: Most bytes of a request's body; one more is a 413.
        trusted_origins: Pages of these origins, such as "https://shop.example.com", may change
            sessions; beside them only pages of the service's own. It is no CORS: it refuses what a
            foreign page sends with a person's cookies.
        inspector: Whether to serve, at `{prefix}/inspector`, a page on which people begin, watch
            and answer sessions; `scope` must know them by what a browser sends of itself, such as
            a cookie.

    Returns:
        A router for `app.include_router()`.

    Raises:
        ConfigurationError: There is no response model, two have the same name, or an option is
            impossible.
    """
    runs = RunManager(
        agent,
        max_running=max_running,
        max_waiting=max_waiting,
        works=works,
        grace_seconds=grace_seconds,
    )
    models = _by_name(responses)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with runs:
            yield

    async def known(request: Request, who: Annotated[object, Depends(scope)]) -> None:
        if who != "" and not is_id(who):
            # Not what the client did wrong, so it is none of its errors.
            raise MBXAIError("scope must return the id of a user or tenant.")
        request.state.mbxai_scope = who

    router = APIRouter(
        prefix=prefix,
        tags=["agent"],
        lifespan=lifespan,
        dependencies=[Depends(known)],
        route_class=bounded_route(max_body_bytes, trusted_origins),
        responses=_PROBLEMS,
    )
    core = agent.async_client if isinstance(agent, AgentClient) else agent
    _add_routes(router, Endpoints(runs, core, models))
    first = next(iter(models.values()))
    add_ag_ui(router, runs, first)
    add_vercel(router, runs, first)
    if inspector:
        router.get("/inspector", include_in_schema=False)(_page)
    return router


async def _page() -> Response:
    page = inspector_page()
    return Response(page.body, headers=page.headers)


def _add_routes(router: APIRouter, endpoints: Endpoints) -> None:
    state = SessionState[endpoints.any_response]
    session = "/sessions/{agent_id}"
    router.get("/dialog-options")(endpoints.dialog_options)
    router.get("/response-schemas")(endpoints.response_schemas)
    router.post("/sessions", status_code=202)(endpoints.start)
    router.get("/sessions")(endpoints.list_sessions)
    router.get(session, responses={200: {"model": state}, 304: {}})(endpoints.state)
    router.delete(session, status_code=204)(endpoints.delete)
    router.post(f"{session}/runs", status_code=202)(endpoints.go_on)
    seen: dict[int | str, dict[str, Any]] = {202: {"model": state}}  # Any: as above
    router.post(f"{session}/responses", status_code=202, responses=seen)(endpoints.answer)
    router.post(f"{session}/cancel", status_code=202, responses=seen)(endpoints.cancel)
    router.get(f"{session}/interactions/{{interaction_id}}")(endpoints.form)
    router.get(f"{session}/export")(endpoints.export)
    endpoints.add_events(router, f"{session}/events")


def _by_name(responses: Iterable[type[BaseModel]]) -> dict[str, type[BaseModel]]:
    models: dict[str, type[BaseModel]] = {}
    for model in responses:
        if models.setdefault(model.__name__, model) is not model:
            raise ConfigurationError(f"Two response models are named {model.__name__}.")
    if not models:
        raise ConfigurationError("responses names no model.", hint="Give responses=[Order].")
    return models
