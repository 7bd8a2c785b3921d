"""An agent service without FastAPI: Starlette here, and likewise anything else that speaks ASGI.

    pip install mbxai uvicorn
    uvicorn --app-dir examples starlette_service:app

    curl 127.0.0.1:8000/runs -d '{"prompt": "Plan a day in Rome"}'
    curl -N 127.0.0.1:8000/runs/AGENT_ID/events

Needs OPENROUTER_API_KEY. Runs are apart from requests; who comes back with Last-Event-ID misses
nothing and gets nothing twice.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, HumanInLoopResponse, MBXAIError
from mbxai.serving import (
    SSE_HEADERS,
    Follower,
    RunManager,
    encode_end,
    encode_event,
    last_event_number,
    problem_of,
)


class Plan(BaseModel):
    """What a run gives."""

    summary: str


class Goal(BaseModel):
    """What a run is to reach."""

    prompt: str


openrouter = AsyncOpenRouterClient()
runs = RunManager(AsyncAgentClient(openrouter, human_in_loop=True))


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    async with openrouter, runs:
        yield


async def start(request: Request) -> JSONResponse:
    goal = Goal.model_validate_json(await request.body())
    return JSONResponse({"agent_id": await runs.start(goal.prompt, Plan)}, 202)


async def state(request: Request) -> JSONResponse:
    found = await runs.view(request.path_params["agent_id"])
    return JSONResponse(found.response.model_dump(mode="json"))


async def answer(request: Request) -> JSONResponse:
    given = HumanInLoopResponse.model_validate_json(await request.body())
    await runs.answer(request.path_params["agent_id"], given)
    return JSONResponse({}, 202)


async def events(request: Request) -> StreamingResponse:
    after = last_event_number(request.headers.get("last-event-id"))
    followed = await runs.follow(request.path_params["agent_id"], after=after)
    return StreamingResponse(told(followed), headers=SSE_HEADERS)


async def told(followed: Follower) -> AsyncGenerator[bytes]:
    async with followed:
        async for event in followed:
            yield encode_event(event)
    yield encode_end("done" if followed.is_over else "reconnect")


async def refused(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, MBXAIError):  # what does not fit is not repeated
        return JSONResponse({"title": "The request is not as it should be."}, 422)
    return JSONResponse(problem_of(error).to_dict(), problem_of(error).status)


app = Starlette(
    routes=[
        Route("/runs", start, methods=["POST"]),
        Route("/runs/{agent_id}", state),
        Route("/runs/{agent_id}/events", events),
        Route("/runs/{agent_id}/answers", answer, methods=["POST"]),
    ],
    exception_handlers={MBXAIError: refused, ValidationError: refused},
    lifespan=lifespan,
)
