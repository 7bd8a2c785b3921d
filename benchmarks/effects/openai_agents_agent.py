"""openai-agents: a `SQLiteSession` for the history, and the `RunState` of a pause kept by hand.

As documented under "Sessions" and "Human-in-the-loop" ("Long-running approvals": serialize the
state with `to_json`, load it with `RunState.from_json`, approve, run). A crash outside of a pause
leaves what the session has; a run then begins with that history.
"""

import json
from pathlib import Path
from typing import Any

from agents import (
    Agent as OpenAIAgent,
)
from agents import (
    OpenAIChatCompletionsModel,
    Runner,
    RunState,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from effects.rest import Rest
from effects.states import States
from effects.tools import Till
from openai import AsyncOpenAI

_MAX_TURNS = 30


class Agent:
    def __init__(self, url: str, model: str, folder: Path, till: Till, *, approval: bool) -> None:
        set_tracing_disabled(True)
        self._client = AsyncOpenAI(base_url=url, api_key="sk-or-benchmark", max_retries=0)
        chat = OpenAIChatCompletionsModel(model, openai_client=self._client)
        tool = function_tool(till.charge, needs_approval=approval)
        self._agent = OpenAIAgent(name="clerk", model=chat, tools=[tool])
        self._states = States(folder / "openai_agents.db")
        self._path = folder / "openai_agents_sessions.db"

    async def open(self) -> None:
        pass

    async def start(self, case: str, prompt: str) -> Rest:
        return await self._run(case, prompt, 0)

    async def answer(self, case: str) -> Rest:
        revision, text = self._states.load(case)
        if not text:
            return Rest("done")
        state = await RunState.from_json(self._agent, json.loads(text))
        for request in state.get_interruptions():
            state.approve(request)
        return await self._run(case, state, revision)

    async def resume(self, case: str, prompt: str) -> Rest:
        revision, text = self._states.load(case)
        if revision:
            return Rest("waiting" if text else "done")
        session = SQLiteSession(case, self._path)
        try:
            has_history = bool(await session.get_items())
        finally:
            session.close()
        return await self._run(case, [] if has_history else prompt, 0)

    async def close(self) -> None:
        await self._client.close()

    async def _run(self, case: str, given: Any, revision: int) -> Rest:  # Any: prompt or state
        session = SQLiteSession(case, self._path)
        try:
            result = await Runner.run(self._agent, given, session=session, max_turns=_MAX_TURNS)
        finally:
            session.close()
        waits = bool(result.interruptions)
        self._states.save(case, revision, json.dumps(result.to_state().to_json()) if waits else "")
        return Rest("waiting" if waits else "done")
