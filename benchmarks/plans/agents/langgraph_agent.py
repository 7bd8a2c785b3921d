"""langgraph: plan and execute, the graph of its documentation.

A planner writes steps in words; an agent with the tool carries out the first one; a replanner gives
the steps that are left or the answer.
"""

import json
import operator
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from plans.graphs import Plan as Case
from plans.script import prompt_of
from plans.tools import look_up
from pydantic import BaseModel, Field

_MAX_STEPS = 100


class Plan(BaseModel):
    """What is to be done."""

    steps: list[str] = Field(description="Steps, in the order in which they are to be done")


class Response(BaseModel):
    """The answer to the user."""

    response: str


class Act(BaseModel):
    """What comes next."""

    action: Response | Plan = Field(description="The answer, or the steps that are left")


class State(TypedDict, total=False):
    input: str
    plan: list[str]
    past_steps: Annotated[list[tuple[str, str]], operator.add]
    response: str


_PLANNER = ChatPromptTemplate.from_messages(
    [
        ("system", "Make a simple plan, step by step, for this objective. Skip no step."),
        ("user", "{input}"),
    ]
)
_REPLANNER = ChatPromptTemplate.from_template(
    "Make a simple plan, step by step, for this objective:\n{input}\n\nYour plan was:\n{plan}\n\n"
    "Done so far:\n{past_steps}\n\nGive the steps that are left, or the answer if none is."
)


class Agent:
    def __init__(self, url: str, model: str) -> None:
        chat = ChatOpenAI(model=model, base_url=url, api_key="sk-or-benchmark")
        self._planner = _PLANNER | chat.with_structured_output(Plan)
        self._replanner = _REPLANNER | chat.with_structured_output(Act)
        self._executor = create_agent(chat, [look_up])
        graph = StateGraph(State)
        graph.add_node("planner", self._plan)
        graph.add_node("agent", self._execute)
        graph.add_node("replan", self._replan)
        graph.add_edge(START, "planner")
        graph.add_edge("planner", "agent")
        graph.add_edge("agent", "replan")
        graph.add_conditional_edges("replan", _next_node, ["agent", END])
        self._app = graph.compile()

    async def run(self, plan: Case) -> list[str]:
        first: Any = {"input": prompt_of(plan)}  # Any: the graph's state
        state = await self._app.ainvoke(first, {"recursion_limit": _MAX_STEPS})
        return json.loads(state["response"])["values"]

    async def close(self) -> None:
        """Nothing to close: the clients are shared by the process."""

    async def _plan(self, state: State) -> State:
        plan = await self._planner.ainvoke({"input": state["input"]})
        return {"plan": plan.steps}

    async def _execute(self, state: State) -> State:
        listed = "\n".join(f"{place}. {step}" for place, step in enumerate(state["plan"], 1))
        task = state["plan"][0]
        asked = f"For this plan:\n{listed}\n\nCarry out step 1: {task}"
        messages: Any = {"messages": [("user", asked)]}  # Any: the agent's state
        done = await self._executor.ainvoke(messages)
        return {"past_steps": [(task, done["messages"][-1].content)]}

    async def _replan(self, state: State) -> State:
        act = await self._replanner.ainvoke(dict(state))
        if isinstance(act.action, Response):
            return {"response": act.action.response}
        return {"plan": act.action.steps}


def _next_node(state: State) -> str:
    return END if state.get("response") else "agent"
