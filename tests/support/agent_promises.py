"""Short words of the promise tests: models, bodies of requests, places that hold sessions."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mbxai import HumanInLoopRequest, HumanInLoopResponse
from mbxai.testing import FakeOpenRouter, RecordedRequest


class Story(BaseModel):
    title: str
    status: str


def schema_names(fake: FakeOpenRouter) -> list[str]:
    """What each structured request asked for, in order."""
    return [request.schema_name for request in fake.requests() if request.schema_name]


def bodies(fake: FakeOpenRouter, schema: str | None = None) -> list[dict[str, Any]]:
    """The requests for a schema; without one, those of tasks."""
    return [dict(r.json) for r in fake.requests() if is_chat(r) and r.schema_name == schema]


def is_chat(request: RecordedRequest) -> bool:
    return request.path.endswith("/chat/completions")


def said(bodies: Any) -> str:
    """All that was said in some requests, as one text."""
    return json.dumps(bodies, ensure_ascii=False)


def offered(body: Mapping[str, Any]) -> list[str]:
    """Names of the tools that a request offers."""
    return [tool["function"]["name"] for tool in body.get("tools", ())]


def results(body: Mapping[str, Any]) -> list[str]:
    """What tools and people answered in a conversation."""
    return [message["content"] for message in body["messages"] if message["role"] == "tool"]


def answer(request: HumanInLoopRequest, **fields: Any) -> HumanInLoopResponse:
    return HumanInLoopResponse(
        interaction_id=request.id, response_type=request.interaction_type, **fields
    )
