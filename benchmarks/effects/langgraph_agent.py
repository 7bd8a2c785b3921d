"""langgraph: langchain's agent on a SQLite checkpointer.

As documented under "Persistence", "Human-in-the-loop" (`HumanInTheLoopMiddleware`,
`Command(resume=...)`) and "Durable execution": `durability="sync"` writes each step before the next
one begins, and an interrupted thread goes on with `None` as its input.
"""

from pathlib import Path
from typing import Any

from effects.rest import Rest
from effects.tools import Till
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command

_MAX_STEPS = 100


class Agent:
    def __init__(self, url: str, model: str, folder: Path, till: Till, *, approval: bool) -> None:
        chat = ChatOpenAI(model=model, base_url=url, api_key="sk-or-benchmark", max_retries=0)
        rule: Any = {"allowed_decisions": ["approve", "reject"]}  # Any: the middleware's own
        asking = [HumanInTheLoopMiddleware(interrupt_on={"charge": rule})] if approval else []
        self._made = {"model": chat, "tools": [till.charge], "middleware": asking}
        self._path = folder / "langgraph.db"

    async def open(self) -> None:
        self._saver = AsyncSqliteSaver.from_conn_string(str(self._path))
        self._agent = create_agent(**self._made, checkpointer=await self._saver.__aenter__())

    async def start(self, case: str, prompt: str) -> Rest:
        return await self._run(case, {"messages": [("user", prompt)]})

    async def answer(self, case: str) -> Rest:
        return await self._run(case, Command(resume={"decisions": [{"type": "approve"}]}))

    async def resume(self, case: str, prompt: str) -> Rest:
        state = await self._agent.aget_state(_config(case))
        if not state.values:
            return await self.start(case, prompt)
        return await self._run(case, None) if state.next else Rest("done")

    async def close(self) -> None:
        await self._saver.__aexit__(None, None, None)

    async def _run(self, case: str, given: Any) -> Rest:  # Any: the graph's input
        await self._agent.ainvoke(given, _config(case), durability="sync")
        state = await self._agent.aget_state(_config(case))
        return Rest("waiting" if state.next else "done")


def _config(case: str) -> Any:  # Any: langchain's own
    return {"configurable": {"thread_id": case}, "recursion_limit": _MAX_STEPS}
