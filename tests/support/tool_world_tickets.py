"""A ticket system: tools with unions, maps, typed dictionaries and keyword arguments."""

from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from pydantic import Field
from support.tool_world import EVERYTHING, Op, RefusedError, Runs, WorldKind, some

from mbxai.tools import AsyncToolClient, tool

Status = Literal["open", "doing", "done"]
NEXT = {"open": ("doing",), "doing": ("open", "done"), "done": ()}


class Remark(TypedDict):
    text: str
    mentions: NotRequired[list[str]]


@dataclass
class Ticket:
    title: str
    labels: set[str]
    due: date | None
    status: str = "open"
    person: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    remarks: list[Any] = field(default_factory=list)


class Tickets:
    def __init__(self, start: dict[str, Any], runs: Runs) -> None:
        self._runs = runs
        self._tickets: dict[str, Ticket] = {}
        for key, data in start["tickets"].items():
            due = data["due"] and date.fromisoformat(data["due"])
            self._tickets[key] = Ticket(**{**data, "labels": set(data["labels"]), "due": due})

    def register(self, client: AsyncToolClient, **options: Any) -> None:
        methods = (self.create, self.assign, self.change_status, self.remark)
        for method in (*methods, self.set_fields, self.find, self.close_all):
            client.tool(**options)(method)

    def state(self) -> dict[str, Any]:
        return {"tickets": {key: _plain(ticket) for key, ticket in self._tickets.items()}}

    @tool(name="create_ticket", description="Write a ticket.")
    async def create(
        self,
        key: Annotated[str, Field(pattern="^[A-Z]+-[0-9]+$")],
        title: str,
        labels: frozenset[str] = frozenset(),
        due: date | None = None,
    ) -> str:
        given = {"title": title, "labels": sorted(labels), "due": due}
        with self._runs.of("create_ticket", key=key, **given):
            if key in self._tickets:
                raise ValueError(f"{key} exists")
            self._tickets[key] = Ticket(title, set(labels), due)
            return key

    @tool
    def assign(self, key: str, person: str | None) -> dict[str, str | None]:
        """Give a ticket to a person, or to nobody."""
        with self._runs.of("assign", key=key, person=person):
            self._ticket(key).person = person
            return {key: person}

    @tool
    def change_status(self, key: str, status: Status) -> str:
        """Move a ticket on."""
        with self._runs.of("change_status", key=key, status=status):
            ticket = self._ticket(key)
            if status not in NEXT[ticket.status]:
                raise ValueError(f"{key} cannot go from {ticket.status} to {status}")
            ticket.status = status
            return f"{key}: {status}"

    @tool
    async def remark(self, key: str, remark: Remark) -> int:
        """Add a remark."""
        with self._runs.of("remark", key=key, remark=remark):
            self._ticket(key).remarks.append(remark)
            return len(self._ticket(key).remarks)

    @tool
    def set_fields(self, key: str, fields: dict[str, int | str | bool | None]) -> dict[str, Any]:
        """Fill fields in; null empties one."""
        with self._runs.of("set_fields", key=key, fields=fields):
            known = self._ticket(key).fields
            for name, value in fields.items():
                if value is None:
                    known.pop(name, None)
                else:
                    known[name] = value
            return dict(known)

    @tool(effect="read")
    def find(self, status: Status | None = None, label: str | None = None) -> list[str]:
        """Find tickets."""
        with self._runs.of("find", status=status, label=label):
            found = {key for key, t in self._tickets.items() if status in (None, t.status)}
            return sorted(k for k in found if label is None or label in self._tickets[k].labels)

    @tool
    def close_all(self) -> int:
        """Close what is in work."""
        with self._runs.of("close_all"):
            doing = [ticket for ticket in self._tickets.values() if ticket.status == "doing"]
            for ticket in doing:
                ticket.status = "done"
            return len(doing)

    def _ticket(self, key: str) -> Ticket:
        if key not in self._tickets:
            raise LookupError(f"no ticket {key}")
        return self._tickets[key]


def _plain(ticket: Ticket) -> dict[str, Any]:
    due = ticket.due.isoformat() if ticket.due else None
    return {**vars(ticket), "labels": sorted(ticket.labels), "due": due}


# --- the reference --------------------------------------------------------------------------------


def _new(title: str, **more: Any) -> dict[str, Any]:
    empty = {"labels": [], "due": None, "person": None, "fields": {}, "remarks": []}
    return {"title": title, "status": "open", **empty, **more}


START: dict[str, Any] = {
    "tickets": {
        "OPS-1": _new("Disk full", labels=["urgent"], due="2026-01-31"),
        "OPS-2": _new("Typo", status="doing"),
        "WEB-7": _new("Login", labels=["ui"], person="bob"),
    }
}
FIELDS: tuple[tuple[str, Any], ...] = (
    ("points", 3),
    ("points", 5),
    ("team", "blau"),
    ("is_public", True),
    ("team", None),
)


def after(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    tickets = state["tickets"]
    if name == "close_all":
        keys = [key for key in tickets if tickets[key]["status"] == "doing"]
        for key in keys:
            tickets[key]["status"] = "done"
        return len(keys)
    if name == "find":
        status, label = given["status"], given["label"]
        fits = [k for k, t in tickets.items() if not status or t["status"] == status]
        return sorted(key for key in fits if not label or label in tickets[key]["labels"])
    key = given["key"]
    if name == "create_ticket":
        if key in tickets:
            raise RefusedError(f"{key} exists")
        tickets[key] = _new(given["title"], labels=sorted(given["labels"]), due=given["due"])
        return key
    if key not in tickets:
        raise RefusedError(f"no ticket {key}")
    return _after_change(key, tickets[key], name, given)


def _after_change(key: str, ticket: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    if name == "assign":
        ticket["person"] = given["person"]
        return {key: given["person"]}
    if name == "remark":
        ticket["remarks"] = [*ticket["remarks"], given["remark"]]
        return len(ticket["remarks"])
    if name == "set_fields":
        merged = {**ticket["fields"], **given["fields"]}
        ticket["fields"] = {field: value for field, value in merged.items() if value is not None}
        return dict(ticket["fields"])
    allowed = {("open", "doing"), ("doing", "open"), ("doing", "done")}
    if (ticket["status"], given["status"]) not in allowed:
        raise RefusedError(f"{key} cannot go from {ticket['status']} to {given['status']}")
    ticket["status"] = given["status"]
    return f"{key}: {given['status']}"


def propose(rng: Random, state: dict[str, Any]) -> Op:
    new = f"{rng.choice(('OPS', 'WEB'))}-{rng.randint(3, 6)}"
    key = rng.choice([*state["tickets"], "OPS-9"])
    person = rng.choice(("ann", "bob", None))
    status = rng.choice(("open", "doing", "done"))
    remark = {"text": rng.choice(("fine", "„so“ \n", "")), **some(rng, mentions=["ann"])}
    fields = dict(rng.sample(FIELDS, rng.randint(0, 3)))
    created = {"key": new, "title": "New", **some(rng, labels=["new", "ui"], due="2026-12-24")}
    return rng.choice(
        (
            Op("create_ticket", created, {new}),
            Op("create_ticket", created, {new}),
            Op("assign", {"key": key, "person": person}, {key}),
            Op("change_status", {"key": key, "status": status}, {key}),
            Op("change_status", {"key": key, "status": status}, {key}),
            Op("remark", {"key": key, "remark": remark}, {key}),
            Op("set_fields", {"key": key, "fields": fields}, {key}),
            Op("find", some(rng, status=status, label="ui"), reads={EVERYTHING}),
            Op("close_all", {}, {EVERYTHING}),
        )
    )


TICKETS = WorldKind(
    name="tickets",
    start=START,
    live=Tickets,
    after=after,
    propose=propose,
    defaults={
        "create_ticket": {"labels": [], "due": None},
        "assign": {},
        "change_status": {},
        "remark": {},
        "set_fields": {},
        "find": {"status": None, "label": None},
        "close_all": {},
    },
    choices={"change_status": "status", "find": "status"},
)
