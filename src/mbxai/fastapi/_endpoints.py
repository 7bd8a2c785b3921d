"""What each path of the agent's router does."""

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Union, cast
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel

from mbxai._redaction import get_logger
from mbxai.agent import AsyncAgentClient, SubmitOptions
from mbxai.agent.models import DialogOption, HumanInLoopResponse, HumanInLoopResponseBatch
from mbxai.errors import (
    ConfigurationError,
    InteractionExpiredError,
    InteractionNotFoundError,
    SessionError,
)
from mbxai.fastapi._bodies import (
    AnswerForm,
    ContinueRequest,
    SessionItem,
    SessionList,
    SessionStarted,
    SessionState,
    StartRequest,
)
from mbxai.fastapi._route import response_of
from mbxai.serving import (
    Follower,
    Problem,
    RunManager,
    answer_schema,
    is_counted,
    last_event_number,
)

logger: logging.Logger = get_logger(__name__)

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=256)]

_RETRY_MILLISECONDS = 2000
_CHANGED = Problem(412, "session_changed", "The session stands otherwise than If-Match says.")


class Endpoints:
    """The operations of one router."""

    def __init__(
        self, runs: RunManager, agent: AsyncAgentClient, models: Mapping[str, type[BaseModel]]
    ) -> None:
        """Take what they work on.

        Args:
            runs: Runs the sessions.
            agent: The agent.
            models: What a final response may be, by name.
        """
        self._runs = runs
        self._agent = agent
        self._models = models

    @property
    def any_response(self) -> Any:  # Any: a union that is made of values
        """The type of any final response, for the OpenAPI document."""
        return Union[tuple(self._models.values())]  # noqa: UP007 -- of values

    async def start(
        self, request: Request, response: Response, body: StartRequest, key: Key = None
    ) -> SessionStarted:
        """Begin a session; the same `Idempotency-Key` begins it once."""
        return await self._begin(request, response, body, key, None)

    async def go_on(
        self,
        request: Request,
        response: Response,
        agent_id: str,
        body: ContinueRequest,
        key: Key = None,
    ) -> SessionStarted:
        """Begin a further turn of a session whose turn is over."""
        return await self._begin(request, response, body, key, agent_id)

    async def answer(
        self,
        request: Request,
        agent_id: str,
        body: HumanInLoopResponseBatch | HumanInLoopResponse,
        if_match: Annotated[str | None, Header()] = None,
    ) -> JSONResponse:
        """Answer what a session asks: one request, or several at once.

        With `If-Match`, only while the session stands as the client has seen it.
        """
        scope = _scope_of(request)
        if if_match is not None and not await self._stands(scope, agent_id, if_match):
            return response_of(_CHANGED)
        given = body.responses if isinstance(body, HumanInLoopResponseBatch) else [body]
        await self._check_open(scope, agent_id, given)
        await self._runs.answer(agent_id, given, scope=scope)
        return await self._state(scope, agent_id, 202)

    async def cancel(self, request: Request, agent_id: str) -> JSONResponse:
        """Have a session's turn end; tools that run are waited for."""
        scope = _scope_of(request)
        await self._runs.cancel(agent_id, scope=scope)
        return await self._state(scope, agent_id, 202)

    async def state(
        self,
        request: Request,
        agent_id: str,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Tell how a session stands; `If-None-Match` saves an unchanged answer."""
        found = await self._state(_scope_of(request), agent_id, 200)
        tag = found.headers["etag"]
        if if_none_match is not None and _names(if_none_match, tag):
            return Response(status_code=304, headers={"ETag": tag})
        return found

    async def list_sessions(
        self,
        request: Request,
        status: str | None = None,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> SessionList:
        """List sessions, the newest first."""
        sessions = self._agent.for_scope(_scope_of(request)).sessions
        page = await sessions.list(status=status, cursor=cursor, limit=limit)
        return SessionList(
            sessions=[
                SessionItem(
                    agent_id=found.agent_id,
                    state=found.status,
                    version=found.version,
                    created_at=found.created_at,
                    updated_at=found.updated_at,
                )
                for found in page.sessions
            ],
            next_cursor=page.next_cursor,
        )

    async def delete(self, request: Request, agent_id: str) -> Response:
        """Delete a session, also one that runs."""
        await self._agent.for_scope(_scope_of(request)).sessions.delete(agent_id)
        return Response(status_code=204)

    async def form(self, request: Request, agent_id: str, interaction_id: str) -> AnswerForm:
        """Tell what a person is asked, and what an answer looks like."""
        view = await self._runs.view(agent_id, scope=_scope_of(request))
        for asked in view.response.human_interaction_requests:
            if asked.id == interaction_id:
                return AnswerForm(interaction=asked, answer_schema=answer_schema(asked))
        raise InteractionNotFoundError("There is no such open request.")

    async def export(self, request: Request, agent_id: str) -> JSONResponse:
        """Give all that is known of a session, without credentials."""
        sessions = self._agent.for_scope(_scope_of(request)).sessions
        return JSONResponse(await sessions.export(agent_id))

    async def dialog_options(self) -> list[DialogOption]:
        """List the dialogues that a person may be asked to complete."""
        return list(self._agent.dialog_options)

    async def response_schemas(self) -> dict[str, dict[str, Any]]:  # Any: JSON Schema
        """Tell what a final response may be asked for as, by name."""
        return {name: model.model_json_schema() for name, model in self._models.items()}

    def add_events(self, router: APIRouter, path: str) -> None:
        """Add the stream of a session's events.

        Args:
            router: Where.
            path: Of the stream.
        """

        async def followed(
            request: Request,
            agent_id: str,
            last_event_id: Annotated[str | None, Header()] = None,
        ) -> AsyncIterator[Follower]:
            after = last_event_number(last_event_id)
            scope = _scope_of(request)
            async with await self._runs.follow(agent_id, scope=scope, after=after) as events:
                yield events

        @router.get(path, response_class=EventSourceResponse)
        async def events(
            found: Annotated[Follower, Depends(followed)],
            types: Annotated[str | None, Query(description="Names, joined by commas.")] = None,
        ) -> AsyncIterator[ServerSentEvent]:
            """Follow a session until its turn is over; `Last-Event-ID` goes on without a gap."""
            wanted = None if types is None else frozenset(types.split(","))
            yield ServerSentEvent(comment="", retry=_RETRY_MILLISECONDS)
            try:
                async for event in found:
                    if wanted is not None and event.type not in wanted:
                        continue
                    number = str(event.seq) if is_counted(event) else None
                    yield ServerSentEvent(data=event, event=event.type, id=number)
            except SessionError as error:
                logger.warning("events cannot be read on: %s", error)
            yield ServerSentEvent(data={}, event="done" if found.is_over else "reconnect")

    async def _begin(
        self,
        request: Request,
        response: Response,
        body: ContinueRequest,
        key: str | None,
        agent_id: str | None,
    ) -> SessionStarted:
        options: SubmitOptions = {"agent_id": agent_id, "request_key": key}
        begun = await self._runs.start(
            body.prompt,
            self._model(body.response_schema),
            scope=_scope_of(request),
            **options,
        )
        sessions = request.url.path
        if agent_id is not None:
            sessions = sessions.removesuffix("/runs").rpartition("/")[0]
        response.headers["Location"] = f"{sessions}/{quote(begun, safe='')}"
        return SessionStarted(agent_id=begun)

    def _model(self, name: str | None) -> type[BaseModel]:
        if name is None and len(self._models) == 1:
            return next(iter(self._models.values()))
        model = self._models.get(name or "")
        if model is None:
            known = ", ".join(self._models)
            raise ConfigurationError(f"response_schema must be one of: {known}.")
        return model

    async def _state(self, scope: str, agent_id: str, status: int) -> JSONResponse:
        view = await self._runs.view(agent_id, scope=scope)
        found = view.response
        state = SessionState[Any](
            agent_id=found.agent_id,
            prompt=view.prompt,
            state=found.state,
            is_running=view.is_running,
            version=view.version,
            todo_list=found.todo_list,
            interactions=found.human_interaction_requests,
            goal_evaluation=found.goal_evaluation,
            final_response=found.final_response,
            token_summary=found.token_summary,
            error=found.error,
        )
        tag = f'"{view.version}-{int(view.is_running)}"'
        return JSONResponse(state.model_dump(mode="json"), status, headers={"ETag": tag})

    async def _stands(self, scope: str, agent_id: str, if_match: str) -> bool:
        found = await self._state(scope, agent_id, 200)
        return _names(if_match, found.headers["etag"])

    async def _check_open(
        self, scope: str, agent_id: str, given: list[HumanInLoopResponse]
    ) -> None:
        """Tell a request that is closed from one that never was."""
        info = await self._agent.for_scope(scope).sessions.info(agent_id)
        known = cast("list[dict[str, Any]]", info["interactions"])
        closed = {i["id"] for i in known if i["answer"] is not None or i["withdrawn"]}
        for answer in given:
            if answer.interaction_id in closed:
                raise InteractionExpiredError(
                    "The request is closed.", interaction_id=answer.interaction_id
                )


def _names(header: str, tag: str) -> bool:
    # What compresses on the way marks a tag as weak; it still names the same state.
    return any(given.strip().removeprefix("W/") in ("*", tag) for given in header.split(","))


def _scope_of(request: Request) -> str:
    return cast("str", request.state.mbxai_scope)
