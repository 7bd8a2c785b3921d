"""The worlds of the scripted stories: tools with effects that can be counted, and what is wanted.

An effect is a line in a file, so that any process can count it after the one that caused it ended.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from mbxai import DialogOption


class JiraSummary(BaseModel):
    """What the Jira story is to find out."""

    story_id: str
    title: str
    status: str
    summary: str


class OrderInfo(BaseModel):
    """What the shop story is to find out."""

    id: str
    order_number: str
    date: str


class FlightInfo(BaseModel):
    """What the flight story is to find out."""

    flights: list[str]
    recommendation: str


class ProjectPlan(BaseModel):
    """What the deployment story is to find out."""

    project_name: str
    environment: str
    steps: list[str] = Field(default_factory=list)


class Report(BaseModel):
    """What all other stories are to find out."""

    title: str
    words: int


class ShortReport(BaseModel):
    """Another structure for a later turn."""

    headline: str


FINAL_MODELS = {
    model.__name__: model
    for model in (JiraSummary, OrderInfo, FlightInfo, ProjectPlan, Report, ShortReport)
}


class Effects:
    """Lines in a file, each written whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, line: str) -> None:
        """Add a line."""
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, f"{line}\n".encode())
        finally:
            os.close(file)

    def lines(self) -> list[str]:
        """All lines so far."""
        return self.path.read_text().splitlines() if self.path.exists() else []


@dataclass(frozen=True, kw_only=True)
class OfferedTool:
    """A function of a world and how it is registered."""

    function: Callable[..., object]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StoryWorld:
    """What a story's agent has at hand."""

    tools: Sequence[OfferedTool] = ()
    dialog_options: Sequence[DialogOption] = ()


def jira(effects: Effects) -> StoryWorld:
    def fetch_jira_story(story_id: str, jira_url: str, auth_token: str) -> dict[str, str]:
        """Fetch Jira story details using API."""
        effects.note(f"fetched {story_id} with {auth_token}")
        return {
            "id": story_id,
            "title": "Implement user authentication",
            "status": "In Progress",
            "seen_header": f"Bearer {auth_token}",
        }

    login = DialogOption(
        id="jira_auth",
        title="Jira Authentication",
        description="Authenticate with Atlassian Jira",
        parameters={"jira_url": "https://company.atlassian.net", "scopes": ["read:jira-work"]},
    )
    tool = OfferedTool(function=fetch_jira_story, options={"effect": "read"})
    return StoryWorld(tools=[tool], dialog_options=[login])


def shop(effects: Effects) -> StoryWorld:
    def list_orders_from_shop(username: str, password: str, shop_url: str) -> list[dict[str, str]]:
        """List orders from online shop using user credentials."""
        effects.note(f"listed {shop_url} as {username}:{password}")
        return [
            {"id": "ord_002", "order_number": "ORD-2024-002", "date": "2024-01-20"},
            {"id": "ord_003", "order_number": "ORD-2024-003", "date": "2024-01-25"},
        ]

    login = DialogOption(
        id="shop_credentials",
        title="Shop Credentials",
        description="Provide shop login credentials",
        parameters={"shop_url": "https://shop.example.com"},
    )
    return StoryWorld(tools=[OfferedTool(function=list_orders_from_shop)], dialog_options=[login])


def flight(effects: Effects) -> StoryWorld:
    def search_flights(origin: str, destination: str, date: str) -> dict[str, list[str]]:
        """Search for flights between cities."""
        effects.note(f"searched {origin} to {destination}")
        return {"flights": ["Example Air, $450", "Other Air, $390"]}

    def book_flight(name: str) -> str:
        """Book a flight."""
        effects.note(f"booked {name}")
        return f"booked {name}"

    return StoryWorld(
        tools=[
            OfferedTool(function=search_flights, options={"effect": "read"}),
            OfferedTool(function=book_flight),
        ]
    )


def deployment(effects: Effects) -> StoryWorld:
    def deploy(version: str, cloud: str) -> str:
        """Deploy a version to production."""
        effects.note(f"deployed {version} to {cloud}")
        return f"deployed {version} to {cloud}"

    approval = DialogOption(
        id="approval_request",
        title="Deployment Approval",
        description="Request approval for production deployment",
        parameters={"environment": "production", "risk_level": "medium"},
    )
    tool = OfferedTool(function=deploy, options={"requires_approval": True})
    return StoryWorld(tools=[tool], dialog_options=[approval])


def errands(effects: Effects) -> StoryWorld:
    """Tools without a meaning of their own: one that does, one that looks, one that hangs."""

    def do_errand(name: str) -> str:
        """Run an errand."""
        effects.note(f"did {name}")
        return f"errand {name} is done"

    def look_up(topic: str) -> str:
        """Look a topic up; the answer is long."""
        effects.note(f"looked up {topic}")
        return f"{topic}: " + "much is known of it. " * 200

    def never_ends(name: str) -> str:
        """Begin something that does not end by itself."""
        effects.note(f"began {name}")
        threading.Event().wait()
        return "ended"

    return StoryWorld(
        tools=[
            OfferedTool(function=do_errand),
            OfferedTool(function=look_up, options={"effect": "read"}),
            OfferedTool(function=never_ends),
        ]
    )


WORLDS: dict[str, Callable[[Effects], StoryWorld]] = {
    world.__name__: world for world in (jira, shop, flight, deployment, errands)
}
