"""A service, or a worker, whose spans come out as JSON, one a line, on standard output.

    traced_program.py serve|work FOLDER

The agent is that of `Shop`, with a tool that makes a span of its own; the environment describes it.
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import uvicorn
from fastapi import FastAPI, Request, Response
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from starlette.middleware.base import RequestResponseEndpoint
from support.agent_worker_shop import Receipt, Shop

from mbxai import AsyncAgentClient, AsyncOpenRouterClient, AsyncToolClient
from mbxai.agent import AsyncAgentWorker
from mbxai.fastapi import agent_router, anonymous


class Lines(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            assert span.context is not None
            told = {
                "name": span.name,
                "trace": f"{span.context.trace_id:032x}",
                "id": f"{span.context.span_id:016x}",
                "parent": f"{span.parent.span_id:016x}" if span.parent else "",
                "attributes": dict(span.attributes or {}),
            }
            print(json.dumps(told), flush=True)
        return SpanExportResult.SUCCESS


def tracer() -> trace.Tracer:
    return trace.get_tracer("shop")


async def lookup(place: str) -> str:
    with tracer().start_as_current_span("database"):
        return place


def carry(place: str) -> str:
    with tracer().start_as_current_span("carrier"):
        return place


@asynccontextmanager
async def agent_of(shop: Shop) -> AsyncIterator[AsyncAgentClient]:
    async with AsyncOpenRouterClient("sk-or-v1-fake", "fake/model", shop.url) as client:
        tools = AsyncToolClient(client)
        tools.register_tool("lookup", "Look up", lookup, effect="read")
        tools.register_tool("carry", "Carry", carry, effect="idempotent")
        async with AsyncAgentClient(tools, session_handler=shop.open_store()) as agent:
            yield agent


async def serve(shop: Shop, *, works: bool) -> None:
    async with agent_of(shop) as agent:
        app = FastAPI()
        router = agent_router(agent, scope=anonymous, responses=[Receipt], works=works)
        app.include_router(router)

        @app.middleware("http")
        async def traced(request: Request, call_next: RequestResponseEndpoint) -> Response:
            with tracer().start_as_current_span(f"{request.method} {request.url.path}"):
                return await call_next(request)

        config = uvicorn.Config(app, port=int(os.environ["SERVICE_PORT"]), log_level="error")
        await uvicorn.Server(config).serve()


async def work(shop: Shop) -> None:
    async with agent_of(shop) as agent:
        await AsyncAgentWorker(agent).run(until_idle=True)


def main() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Lines()))
    trace.set_tracer_provider(provider)
    shop = Shop(url=os.environ["SHOP_URL"], folder=Path(sys.argv[2]))
    if sys.argv[1] == "work":
        anyio.run(work, shop)
    else:
        anyio.run(lambda: serve(shop, works=sys.argv[1] == "serve"))


if __name__ == "__main__":
    main()
