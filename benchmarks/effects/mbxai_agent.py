"""This project's agent, with people in the loop, on any of its stores."""

import asyncio
import re
import time
from pathlib import Path

from effects.receipt import Receipt
from effects.rest import Rest
from effects.stores import opened
from effects.tools import Till

from mbxai import (
    AgentResponse,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    HumanInLoopRequest,
    HumanInLoopResponse,
    SessionBusyError,
    SessionNotFoundError,
)

_LEASE_SECONDS = 1.0
_MAX_TOOL_ROUNDS = 20
_PATIENCE_SECONDS = 20.0
_PAUSE_SECONDS = 0.1


class Agent:
    def __init__(
        self, url: str, model: str, folder: Path, till: Till, *, approval: bool, store: str
    ) -> None:
        self._client = AsyncOpenRouterClient("sk-or-benchmark", model, url, max_retries=0)
        self._till = till
        tools = AsyncToolClient(self._client)
        tools.tool(effect="once", requires_approval=approval)(till.charge)
        self.store = opened(store, folder)
        self._agent = AsyncAgentClient(
            tools,
            human_in_loop=True,
            planning="merged",
            max_tool_rounds=_MAX_TOOL_ROUNDS,
            session_handler=self.store,
            lease_seconds=_LEASE_SECONDS,
        )
        self._waiting: dict[str, list[HumanInLoopRequest]] = {}

    async def open(self) -> None:
        pass

    async def start(self, case: str, prompt: str) -> Rest:
        return self._rest(await self._agent.agent(prompt, Receipt, agent_id=case))

    async def answer(self, case: str) -> Rest:
        asked = self._waiting.get(case)
        if asked is None:  # of another process
            asked = (await self._agent.get_response(case, Receipt)).human_interaction_requests
        answers = [self._word(case, request) for request in asked]
        await self._agent.sessions.answer(case, answers)
        return self._rest(await self._agent.agent("", Receipt, agent_id=case))

    async def resume(self, case: str, prompt: str) -> Rest:
        try:
            response = await self._agent.get_response(case, Receipt)
        except SessionNotFoundError:
            return await self.start(case, prompt)
        told = 0
        if not response.is_complete() and not response.human_interaction_requests:
            response = await self._gone_on(case)
        while response.human_interaction_requests and not response.is_complete():
            asked = response.human_interaction_requests
            if any("approve" in request.options for request in asked):
                break  # a pause as it was meant
            told += len(asked)
            answers = [self._word(case, request) for request in asked]
            response = await self._agent.agent("", Receipt, agent_id=case, human_response=answers)
        return self._rest(response)._replace(told=told)

    async def close(self) -> None:
        await self._agent.aclose()
        await self.store.aclose()
        await self._client.aclose()

    async def _gone_on(self, case: str) -> AgentResponse[Receipt]:
        """Go on as soon as the lease of the dead process has ended."""
        began = time.monotonic()
        while True:
            try:
                return await self._agent.agent("", Receipt, agent_id=case)
            except SessionBusyError:
                if time.monotonic() - began > _PATIENCE_SECONDS:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    def _word(self, case: str, request: HumanInLoopRequest) -> HumanInLoopResponse:
        """What a person says: yes to a call, and of an unknown outcome what the till shows."""
        decision = "approve"
        if decision not in request.options:
            item = re.search(r"item-\d+", request.context)
            has_happened = item is not None and item[0] in self._till.effects(case)
            wanted = "done" if has_happened else "again"
            decision = next(option for option in request.options if wanted in option)
        return HumanInLoopResponse(
            interaction_id=request.id, response_type="decision", decision=decision
        )

    def _rest(self, response: AgentResponse[Receipt]) -> Rest:
        self._waiting[response.agent_id] = list(response.human_interaction_requests)
        return Rest("done" if response.is_complete() else "waiting")
