"""Functions in a module with postponed annotations, as many users have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict, Unpack

if TYPE_CHECKING:
    from elsewhere import Missing


class Options(TypedDict):
    query: str
    limit: NotRequired[int]


@dataclass
class Spot:
    x: int
    next: Spot | None = None


class Finder:
    def find(self, options: Options, spot: Spot, loud: bool = False) -> Missing: ...


def look(**options: Unpack[Options]) -> Missing: ...
