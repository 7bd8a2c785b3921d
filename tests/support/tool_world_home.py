"""A smart home: the house comes to its tools by injection, and so does the code of its doors."""

from dataclasses import dataclass
from datetime import time
from enum import Enum
from random import Random
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from support.tool_world import EVERYTHING, Op, RefusedError, Runs, WorldKind, some

from mbxai.tools import AsyncToolClient, Secret, ToolContext

CODE = "code-of-the-doors-4711"

Level = Annotated[int, Field(ge=0, le=100)]


class Room(Enum):
    KITCHEN = "kitchen"
    BATH = "bath"
    HALL = "hall"


class Scene(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    lights: dict[Room, Level]
    degrees: float | None = None


class Off(BaseModel):
    kind: Literal["off"]


class Dim(BaseModel):
    kind: Literal["dim"]
    level: Level


@dataclass
class House:
    levels: dict[Room, int]
    degrees: dict[Room, float]
    locked: dict[str, bool]
    timers: list[tuple[Room, time]]
    last_scene: str | None
    runs: Runs


Surroundings = ToolContext[House]


def set_light(room: Room, action: Off | Dim, context: Surroundings) -> dict[str, int]:
    house = context.deps
    with house.runs.of("set_light", room=room, action=action):
        house.levels[room] = 0 if isinstance(action, Off) else action.level
        return {room.value: house.levels[room]}


async def set_temperature(room: Room, degrees: float, context: Surroundings) -> float:
    house = context.deps
    with house.runs.of("set_temperature", room=room, degrees=degrees):
        if not 5 <= degrees <= 30:
            raise ValueError(f"{degrees} degrees is too much or too little")
        house.degrees[room] = degrees
        return degrees


def lock_door(
    door: Literal["front", "back"], code: Secret, context: Surroundings, is_locked: bool = True
) -> bool:
    house = context.deps
    with house.runs.of("lock_door", door=door, is_locked=is_locked):
        if code.reveal() != CODE:
            raise PermissionError("wrong code")
        was_locked, house.locked[door] = house.locked[door], is_locked
        return was_locked


async def run_scene(scene: Scene, context: Surroundings) -> str:
    house = context.deps
    # The one model is all there is to give, so the model gives its fields.
    with house.runs.of("run_scene", **scene.model_dump(mode="json")):
        house.levels.update(scene.lights)
        if scene.degrees is not None:
            house.degrees = dict.fromkeys(house.degrees, scene.degrees)
        house.last_scene = scene.name
        return scene.name


def look(context: Surroundings, room: Room | None = None) -> dict[str, Any]:
    house = context.deps
    with house.runs.of("look", room=room):
        return {
            one.value: {"level": level, "degrees": house.degrees[one]}
            for one, level in house.levels.items()
            if room in (None, one)
        }


async def set_timers(room: Room, times: list[time], context: Surroundings) -> int:
    house = context.deps
    with house.runs.of("set_timers", room=room, times=times):
        house.timers += [(room, one) for one in times]
        return sum(owner is room for owner, _ in house.timers)


def all_off(context: Surroundings) -> list[Room]:
    house = context.deps
    with house.runs.of("all_off"):
        changed = [room for room, level in house.levels.items() if level]
        house.levels = dict.fromkeys(house.levels, 0)
        return changed


class Home:
    def __init__(self, start: dict[str, Any], runs: Runs) -> None:
        self.house = House(
            levels={Room(name): room["level"] for name, room in start["rooms"].items()},
            degrees={Room(name): room["degrees"] for name, room in start["rooms"].items()},
            locked=dict(start["locked"]),
            timers=[],
            last_scene=start["scene"],
            runs=runs,
        )

    def register(self, client: AsyncToolClient, **options: Any) -> None:
        functions = (set_light, set_temperature, lock_door, run_scene, look, set_timers, all_off)
        for function in functions:
            client.register_tool(function.__name__, "A tool of the house.", function, **options)

    def state(self) -> dict[str, Any]:
        house = self.house
        rooms = {
            room.value: {"level": level, "degrees": house.degrees[room]}
            for room, level in house.levels.items()
        }
        timers = sorted([room.value, one.isoformat()] for room, one in house.timers)
        return {
            "rooms": rooms,
            "locked": house.locked,
            "timers": timers,
            "scene": house.last_scene,
        }


# --- the reference --------------------------------------------------------------------------------

START: dict[str, Any] = {
    "rooms": {
        "kitchen": {"level": 70, "degrees": 20.0},
        "bath": {"level": 0, "degrees": 23.5},
        "hall": {"level": 10, "degrees": 17.0},
    },
    "locked": {"front": True, "back": False},
    "timers": [],
    "scene": None,
}
ROOMS = ("kitchen", "bath", "hall")


def after(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    rooms = state["rooms"]
    if name == "lock_door":
        before = state["locked"][given["door"]]
        state["locked"][given["door"]] = given["is_locked"]
        return before
    if name == "all_off":
        lit = [room for room in rooms if rooms[room]["level"] > 0]
        for room in lit:
            rooms[room]["level"] = 0
        return lit
    if name == "run_scene":
        changes = {"degrees": given["degrees"]} if given["degrees"] is not None else {}
        for room in rooms:
            level = given["lights"].get(room, rooms[room]["level"])
            rooms[room] = {**rooms[room], **changes, "level": level}
        state["scene"] = given["name"]
        return given["name"]
    return _after_in_room(state, name, given)


def _after_in_room(state: dict[str, Any], name: str, given: dict[str, Any]) -> Any:
    rooms, room = state["rooms"], given["room"]
    if name == "look":
        return {one: dict(rooms[one]) for one in rooms if room is None or one == room}
    if name == "set_timers":
        state["timers"] = sorted([*state["timers"], *([room, one] for one in given["times"])])
        return len([1 for owner, _ in state["timers"] if owner == room])
    if name == "set_light":
        rooms[room]["level"] = given["action"].get("level", 0)
        return {room: rooms[room]["level"]}
    if given["degrees"] < 5 or given["degrees"] > 30:
        raise RefusedError(f"{given['degrees']} degrees is too much or too little")
    rooms[room]["degrees"] = given["degrees"]
    return given["degrees"]


def propose(rng: Random, state: dict[str, Any]) -> Op:
    room = rng.choice(ROOMS)
    level, degrees = rng.choice((0, 1, 55, 100)), rng.choice((18.5, 21.0, 45.5))
    action = rng.choice(({"kind": "off"}, {"kind": "dim", "level": level}))
    lights = dict.fromkeys(rng.sample(ROOMS, rng.randint(0, 3)), level)
    scene = {"name": rng.choice(("evening", "fête")), "lights": lights, **some(rng, degrees=19.5)}
    times = rng.sample(("06:30:00", "22:00:00", "23:59:59"), rng.randint(0, 3))
    door = rng.choice(("front", "back"))
    locked = {"door": door, **some(rng, is_locked=rng.random() < 0.5)}
    where = some(rng, room=room)
    return rng.choice(
        (
            Op("set_light", {"room": room, "action": action}, {f"light {room}"}),
            Op("set_light", {"room": room, "action": action}, {f"light {room}"}),
            Op("set_temperature", {"room": room, "degrees": degrees}, {f"heat {room}"}),
            Op("set_temperature", {"room": room, "degrees": degrees}, {f"heat {room}"}),
            Op("lock_door", locked, {f"door {door}"}),
            Op("run_scene", scene, {EVERYTHING}),
            Op("look", where, reads={EVERYTHING}),
            Op("set_timers", {"room": room, "times": times}, {f"timers {room}"}),
            Op("all_off", {}, {f"light {one}" for one in ROOMS}),
        )
    )


HOME = WorldKind(
    name="home",
    start=START,
    live=Home,
    after=after,
    propose=propose,
    defaults={
        "set_light": {},
        "set_temperature": {},
        "lock_door": {"is_locked": True},
        "run_scene": {"degrees": None},
        "look": {"room": None},
        "set_timers": {},
        "all_off": {},
    },
    choices={"set_temperature": "room", "set_light": "room", "set_timers": "room", "look": "room"},
)
