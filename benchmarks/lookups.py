"""The tools of the tool loop and what the model calls; of plain Python only, for the server too."""

import asyncio
import time
from typing import Any, NamedTuple

PAUSE_SECONDS = 0.05

ROUNDS: list[list[tuple[str, dict[str, Any]]]] = [
    [
        ("weather", {"city": "Bergen", "day": 120, "unit": "f"}),
        ("distance", {"start": "Bergen", "end": "Oslo"}),
        ("price", {"article": "umbrella", "amount": 2, "currency": "NOK"}),
        ("population", {"city": "Bergen", "year": 1990}),
        ("translation", {"text": "a rainy day", "language": "nb"}),
        ("stock", {"article": "umbrella", "store": 17}),
        ("flight", {"start": "Bergen", "end": "Oslo", "day": 121}),
        ("rate", {"currency": "NOK", "target": "EUR"}),
    ],
    [
        ("rate", {"currency": "EUR", "target": "SEK", "day": 122}),
        ("flight", {"start": "Oslo", "end": "Malmo", "day": 122, "is_direct": False}),
        ("stock", {"article": "raincoat", "store": 3}),
        ("translation", {"text": "a dry day", "language": "sv"}),
        ("population", {"city": "Malmo", "year": 2020}),
        ("price", {"article": "raincoat", "amount": 1}),
        ("distance", {"start": "Oslo", "end": "Malmo", "is_by_road": False}),
        ("weather", {"city": "Malmo", "day": 123}),
    ],
]
"""What the model calls in each round before it answers; defaults are left out as models do."""

CALLS_A_ROUND = len(ROUNDS[0])


class Run(NamedTuple):
    """One run of a tool, with the arguments that reached it, defaults included."""

    name: str
    arguments: dict[str, Any]
    began: float
    ended: float


RUNS: list[Run] = []
"""All runs in the order of their ends."""


def mark(name: str, arguments: dict[str, Any]) -> str:
    """What stands in the result of a call and in that of no other."""
    return f"{name}/{'/'.join(str(value) for value in arguments.values())}"


async def weather(city: str, day: int, unit: str = "c") -> dict[str, Any]:
    """Return the weather of a city.

    Args:
        city: Name of the city.
        day: Day of the year.
        unit: Degrees Celsius (c) or Fahrenheit (f).
    """
    return await _looked_up("weather", {"city": city, "day": day, "unit": unit})


async def distance(start: str, end: str, is_by_road: bool = True) -> dict[str, Any]:
    """Return the distance of two cities.

    Args:
        start: One city.
        end: The other city.
        is_by_road: Whether along roads rather than as the crow flies.
    """
    return await _looked_up("distance", {"start": start, "end": end, "is_by_road": is_by_road})


async def price(article: str, amount: int, currency: str = "EUR") -> dict[str, Any]:
    """Return the price of an article.

    Args:
        article: Name of the article.
        amount: How many pieces.
        currency: Three letters.
    """
    return await _looked_up("price", {"article": article, "amount": amount, "currency": currency})


async def population(city: str, year: int) -> dict[str, Any]:
    """Return how many people live in a city.

    Args:
        city: Name of the city.
        year: Which year.
    """
    return await _looked_up("population", {"city": city, "year": year})


async def translation(text: str, language: str) -> dict[str, Any]:
    """Translate a text.

    Args:
        text: English text.
        language: Two letters.
    """
    return await _looked_up("translation", {"text": text, "language": language})


async def stock(article: str, store: int) -> dict[str, Any]:
    """Return how many pieces of an article a store has.

    Args:
        article: Name of the article.
        store: Number of the store.
    """
    return await _looked_up("stock", {"article": article, "store": store})


async def flight(start: str, end: str, day: int, is_direct: bool = True) -> dict[str, Any]:
    """Find a flight.

    Args:
        start: City of departure.
        end: City of arrival.
        day: Day of the year.
        is_direct: Whether without a stop.
    """
    arguments = {"start": start, "end": end, "day": day, "is_direct": is_direct}
    return await _looked_up("flight", arguments)


async def rate(currency: str, target: str, day: int = 1) -> dict[str, Any]:
    """Return an exchange rate.

    Args:
        currency: Three letters.
        target: Three letters.
        day: Day of the year.
    """
    return await _looked_up("rate", {"currency": currency, "target": target, "day": day})


TOOLS = (weather, distance, price, population, translation, stock, flight, rate)

DEFAULTS: dict[str, dict[str, Any]] = {
    "weather": {"unit": "c"},
    "distance": {"is_by_road": True},
    "price": {"currency": "EUR"},
    "flight": {"is_direct": True},
    "rate": {"day": 1},
}


def completed(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call with the defaults that it leaves out."""
    return {**arguments, **{k: v for k, v in DEFAULTS.get(name, {}).items() if k not in arguments}}


async def _looked_up(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    await asyncio.sleep(PAUSE_SECONDS)
    RUNS.append(Run(name, arguments, began, time.perf_counter()))
    return {"found": mark(name, arguments), "is_current": True, "sources": ["almanac", "register"]}
