"""Runners of a few functions, single calls of them, and a listener that keeps what it hears."""

import json
from dataclasses import replace
from typing import Any

from mbxai.tools import Tool, ToolCall, ToolRegistry
from mbxai.tools.runner._runner import RoundOutcome, ToolRunner
from mbxai.wire import ToolEvent, ToolResult


class Heard(list[ToolEvent]):
    """A listener; a list of the events that it got."""

    def __call__(self, event: ToolEvent) -> None:
        self.append(event)

    def of(self, call_id: str) -> list[ToolEvent]:
        return [event for event in self if event.call_id == call_id]

    @property
    def types(self) -> list[str]:
        return [event.type for event in self]


def registry_of(*functions: Any, **options: Any) -> ToolRegistry:
    registry = ToolRegistry()
    for function in functions:
        registry.add(
            function if isinstance(function, Tool) else Tool.from_function(function, **options)
        )
    return registry


def runner_of(
    *functions: Any, approve: Any = None, limit: int = 8, hooks: Any = None, **options: Any
) -> ToolRunner:
    """A runner of functions, all with the same options; `hooks` are arguments of the runner."""
    registry = registry_of(*functions, **options)
    return ToolRunner(registry, approve=approve, max_parallel_calls=limit, **(hooks or {}))


def call_of(function: Any, arguments: Any = None, call_id: str = "call_1") -> ToolCall:
    name = function if isinstance(function, str) else getattr(function, "name", None)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(call_id, name or function.__name__, text)


async def run(
    function: Any,
    arguments: Any = None,
    context: Any = None,
    *,
    listener: Any = None,
    scrub: Any = None,
    hooks: Any = None,
    **options: Any,
) -> ToolResult:
    """Run one function once, decided by the caller."""
    runner = runner_of(function, hooks=hooks, **options)
    call = call_of(function, arguments)
    return await runner.run(call, context, listener=listener, scrub=scrub)


async def run_round(function: Any, arguments: Any = None, **options: Any) -> RoundOutcome:
    """Run one function as the only call of a round."""
    return await runner_of(function, **options).run_round([call_of(function, arguments)])


def timeless(result: ToolResult) -> ToolResult:
    """A result without the time that it took."""
    return replace(result, seconds=0.0)
