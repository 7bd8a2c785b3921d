"""pydantic-ai, with the step persistence of pydantic-ai-harness.

A pause is stored by hand, as documented under "Deferred tools" ("Pausing a conversation"): the
result's `conversation` as JSON, which holds the requests, and a check of its revision at each save.
A crash is recovered as the README of `step_persistence` says ("Failure recovery"): the messages of
the last complete snapshot begin a new run, and calls that the ledger has as begun and not ended are
reported; whether to go on in spite of them is left to the application, and this one goes on.
"""

from pathlib import Path

from effects.rest import Rest
from effects.states import States
from effects.tools import Till
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import DeferredToolRequests, Tool
from pydantic_ai.conversation import ConversationTypeAdapter
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.run import AgentRunResult
from pydantic_ai_harness import StepPersistence
from pydantic_ai_harness.step_persistence import SqliteStepStore, continue_run


class Agent:
    def __init__(self, url: str, model: str, folder: Path, till: Till, *, approval: bool) -> None:
        self._provider = OpenAIProvider(base_url=url, api_key="sk-or-benchmark")
        self._states = States(folder / "pydantic_ai.db")
        self._steps = SqliteStepStore(database=folder / "pydantic_ai_steps.db")
        self._agent = PydanticAgent(
            OpenAIChatModel(model, provider=self._provider),
            output_type=[str, DeferredToolRequests],
            tools=[Tool(till.charge, requires_approval=approval)],
            capabilities=[StepPersistence(store=self._steps)],
        )

    async def open(self) -> None:
        pass

    async def start(self, case: str, prompt: str) -> Rest:
        return self._kept(case, 0, await self._agent.run(prompt, conversation_id=case))

    async def answer(self, case: str) -> Rest:
        revision, text = self._states.load(case)
        conversation = ConversationTypeAdapter.validate_json(text)
        requests = conversation.deferred_tool_requests
        if requests is None:
            return Rest("done")
        approved = requests.build_results(approve_all=True)
        result = await self._agent.run(conversation=conversation, deferred_tool_results=approved)
        return self._kept(case, revision, result)

    async def resume(self, case: str, prompt: str) -> Rest:
        revision, text = self._states.load(case)
        if text:
            waits = ConversationTypeAdapter.validate_json(text).deferred_tool_requests
            return Rest("waiting" if waits else "done")
        runs = await self._steps.list_runs(conversation_id=case)
        unresolved = [
            effect
            for run in runs
            for effect in await self._steps.list_unresolved_tool_effects(run_id=run.run_id)
        ]
        try:
            history = await continue_run(self._steps, run_id=runs[-1].run_id)
        except (IndexError, LookupError):
            return (await self.start(case, prompt))._replace(told=len(unresolved))
        result = await self._agent.run(message_history=history, conversation_id=case)
        return self._kept(case, revision, result)._replace(told=len(unresolved))

    async def close(self) -> None:
        await self._provider.client.close()

    def _kept(self, case: str, revision: int, result: AgentRunResult[object]) -> Rest:
        text = ConversationTypeAdapter.dump_json(result.conversation).decode()
        self._states.save(case, revision, text)
        return Rest("waiting" if isinstance(result.output, DeferredToolRequests) else "done")
