"""A calendar: coroutine functions that take models, dataclasses, dates and times."""

from dataclasses import dataclass
from datetime import date, time
from random import Random
from typing import Any, Literal

import anyio.lowlevel
from pydantic import BaseModel
from support.tool_world import EVERYTHING, Op, RefusedError, Runs, WorldKind, some

from mbxai.tools import AsyncToolClient


class Event(BaseModel):
    title: str
    day: date
    start: time
    minutes: int = 60
    guests: list[str] = []


@dataclass
class Guest:
    name: str
    email: str | None = None


class Calendar:
    """Events by title; every tool lets others run before it changes anything."""

    def __init__(self, start: dict[str, Any], runs: Runs) -> None:
        self.events = {title: Event.model_validate(e) for title, e in start["events"].items()}
        self.owners: dict[str, str] = dict(start["owners"])
        self.cancelled: list[str] = list(start["cancelled"])
        self.runs = runs

    def register(self, client: AsyncToolClient, **options: Any) -> None:
        for function in (*_planning_tools(self), *_changing_tools(self)):
            client.tool(description=f"{function.__name__}.", **options)(function)

    def state(self) -> dict[str, Any]:
        events = {title: event.model_dump(mode="json") for title, event in self.events.items()}
        return {"events": events, "owners": self.owners, "cancelled": sorted(self.cancelled)}

    def event(self, title: str) -> Event:
        if title not in self.events:
            raise LookupError(f"no event {title}")
        return self.events[title]


def _planning_tools(calendar: Calendar) -> tuple[Any, ...]:
    async def add_event(event: Event, owner: Literal["me", "team"] = "me") -> str:
        await anyio.lowlevel.checkpoint()
        with calendar.runs.of("add_event", event=event, owner=owner):
            if event.title in calendar.events:
                raise ValueError(f"{event.title} is planned already")
            calendar.events[event.title] = event.model_copy(deep=True)
            calendar.owners[event.title] = owner
            return event.title

    async def move_event(title: str, day: date, start: time | None = None) -> Event:
        await anyio.lowlevel.checkpoint()
        with calendar.runs.of("move_event", title=title, day=day, start=start):
            event = calendar.event(title)
            event.day = day
            event.start = start or event.start
            return event.model_copy()

    async def agenda(day: date) -> list[str]:
        await anyio.lowlevel.checkpoint()
        with calendar.runs.of("agenda", day=day):
            found = [event for event in calendar.events.values() if event.day == day]
            return [event.title for event in sorted(found, key=lambda e: (e.start, e.title))]

    return add_event, move_event, agenda


def _changing_tools(calendar: Calendar) -> tuple[Any, ...]:
    async def invite(title: str, guests: list[Guest]) -> int:
        await anyio.lowlevel.checkpoint()
        with calendar.runs.of("invite", title=title, guests=guests):
            event = calendar.event(title)
            event.guests += [guest.email or guest.name for guest in guests]
            return len(event.guests)

    async def cancel_event(title: str, reason: str | None = None) -> None:
        await anyio.lowlevel.checkpoint()
        with calendar.runs.of("cancel_event", title=title, reason=reason):
            calendar.event(title)
            del calendar.events[title]
            del calendar.owners[title]
            calendar.cancelled.append(f"{title} ({reason})")

    async def shorten_all(to: int) -> dict[str, int]:
        await anyio.lowlevel.checkpoint()
        with calendar.runs.of("shorten_all", to=to):
            before = {event.title: event.minutes for event in calendar.events.values()}
            for event in calendar.events.values():
                event.minutes = min(event.minutes, to)
            return {title: minutes for title, minutes in before.items() if minutes > to}

    return invite, cancel_event, shorten_all


# --- the reference --------------------------------------------------------------------------------

START: dict[str, Any] = {
    "events": {
        "Retro": {
            "title": "Retro",
            "day": "2026-03-02",
            "start": "15:00:00",
            "minutes": 90,
            "guests": ["bob"],
        },
        "Dentist": {
            "title": "Dentist",
            "day": "2026-03-03",
            "start": "08:30:00",
            "minutes": 30,
            "guests": [],
        },
    },
    "owners": {"Retro": "team", "Dentist": "me"},
    "cancelled": [],
}
TITLES = ("Retro", "Dentist", "Café & Kuchen", "1:1", "Planning", "Lunch")
DAYS = ("2026-03-02", "2026-03-03", "2028-02-29")
GUESTS: tuple[dict[str, Any], ...] = (
    {"name": "ann", "email": "ann@example.org"},
    {"name": "bob"},
    {"name": "Zoë", "email": None},
)


def after(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    events = state["events"]
    if name == "agenda":
        that_day = [(e["start"], t) for t, e in events.items() if e["day"] == given["day"]]
        return [title for _, title in sorted(that_day)]
    if name == "shorten_all":
        long = {title: e["minutes"] for title, e in events.items() if e["minutes"] > given["to"]}
        for title in long:
            events[title]["minutes"] = given["to"]
        return long
    if name == "add_event":
        title = given["event"]["title"]
        if title in events:
            raise RefusedError(f"{title} is planned already")
        events[title] = dict(given["event"])
        state["owners"][title] = given["owner"]
        return title
    title = given["title"]
    if title not in events:
        raise RefusedError(f"no event {title}")
    if name == "invite":
        new = [guest.get("email") or guest["name"] for guest in given["guests"]]
        events[title]["guests"] = events[title]["guests"] + new
        return len(events[title]["guests"])
    if name == "cancel_event":
        events.pop(title)
        state["owners"].pop(title)
        state["cancelled"] = sorted([*state["cancelled"], f"{title} ({given['reason']})"])
        return None
    events[title]["day"] = given["day"]
    if given["start"] is not None:
        events[title]["start"] = given["start"]
    return dict(events[title])


def propose(rng: Random, state: dict[str, Any]) -> Op:
    title, day = rng.choice(TITLES), rng.choice(DAYS)
    if state["events"] and rng.random() < 0.6:
        title = rng.choice(list(state["events"]))
    me = {title}
    event = {
        "title": title,
        "day": day,
        "start": rng.choice(("00:00:00", "09:15:00", "23:59:59")),
        **some(rng, minutes=rng.choice((15, 60, 480)), guests=["Ünal", "bob"]),
    }
    moved = {"title": title, "day": day, **some(rng, start="12:00:00")}
    guests = rng.sample(GUESTS, rng.randint(0, 3))
    return rng.choice(
        (
            Op("add_event", {"event": event, **some(rng, owner="team")}, me),
            Op("add_event", {"event": event, **some(rng, owner="team")}, me),
            Op("move_event", moved, me),
            Op("invite", {"title": title, "guests": guests}, me),
            Op("invite", {"title": title, "guests": guests}, me),
            Op("cancel_event", {"title": title, **some(rng, reason="ill")}, me),
            Op("agenda", {"day": day}, reads={EVERYTHING}),
            Op("shorten_all", {"to": rng.choice((20, 45))}, {EVERYTHING}),
        )
    )


CALENDAR = WorldKind(
    name="calendar",
    start=START,
    live=Calendar,
    after=after,
    propose=propose,
    defaults={
        "add_event": {"owner": "me"},
        "move_event": {"start": None},
        "agenda": {},
        "invite": {},
        "cancel_event": {"reason": None},
        "shorten_all": {},
    },
    choices={"add_event": "owner"},
    nested={"event": {"minutes": 60, "guests": []}, "guests": {"email": None}},
)
