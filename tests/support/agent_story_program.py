"""A program that runs one agent, once, as its order says, and tells the outcome.

    python -m support.agent_story_program SOCKET

It loads, listens at a Unix socket until its standard input ends, and becomes one process more for
each connection: that writes its process id in a line, reads a line of JSON (see `Order`), writes a
line of JSON (see `told`), and ends. To load once saves each of them a second of imports; they have
nothing in common besides. Such a process is a worker, or that of a person: then it loads the waiting
session first and sees only what is stored of it.
"""

import asyncio
import importlib
import json
import logging
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypedDict

from support.agent_story_worlds import FINAL_MODELS, WORLDS, Effects, StoryWorld

from mbxai import (
    AgentClient,
    AgentFailedError,
    AgentResponse,
    AsyncAgentClient,
    AsyncOpenRouterClient,
    AsyncToolClient,
    Budget,
    BudgetExceededError,
    HumanInLoopRequest,
    HumanInLoopResponse,
    HumanInLoopResponseBatch,
    OpenRouterClient,
    ToolClient,
)
from mbxai.errors import MBXAIError, SessionBusyError
from mbxai.sessions import SQLiteSessionStore

LOADED_AT_FIRST_USE = ("aiohttp", "anyio._backends._asyncio", "httpx")
REDIS_EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "sessions_redis.py"
MOST_ANSWERS = 20


class Rule(TypedDict, total=False):
    """What a person answers to the requests whose prompt holds the words `to`."""

    to: str
    answer: str
    decision: str
    additional_context: str
    credentials: dict[str, str]


class Order(TypedDict, total=False):
    """What the program is to do.

    Attributes:
        kind: "async" or "blocking".
        log: Path of the file to which the log at DEBUG goes.
        sessions: Path of a SQLite file, or a Redis URL.
        settings: Arguments of the agent's constructor; a budget is a mapping.
        call: Arguments of `agent()`, the same.
        final: Name of the final model.
        rules: What the person of this process answers; None: there is none.
        form: How: "one" answers one request at a time, "list" and "batch" all that are open; again
            and again, until no rule fits.
        responses: Answers that are given as they are, to whatever is open or not.
        patience: Seconds to wait for the lease of a worker that is gone.
    """

    kind: str
    log: str
    base_url: str
    sessions: str
    world: str
    effects: str
    settings: dict[str, Any]
    call: dict[str, Any]
    final: str | None
    rules: list[Rule] | None
    form: str
    responses: list[dict[str, Any]]
    patience: float


def main(path: str) -> None:
    for name in LOADED_AT_FIRST_USE:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who end
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in (waiting := select.select([listener, sys.stdin], [], [])[0]):
            assert waiting == [listener]
            link, _ = listener.accept()
            with link:
                if os.fork() == 0:
                    listener.close()
                    carry_out(link)
                    return


def carry_out(link: socket.socket) -> None:
    """Carry out the order that comes by a connection."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with link.makefile("rw") as talk:
        talk.write(f"{os.getpid()}\n")
        talk.flush()
        order: Order = json.loads(talk.readline())
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 2)
        os.close(log)
        logging.basicConfig(level=logging.DEBUG)  # whoever started this looks for secrets in it
        talk.write(f"{json.dumps(outcome_of(order))}\n")


def outcome_of(order: Order) -> dict[str, Any]:
    """Run the agent."""
    with ExitStack() as closing:
        agent, finish = _agent(order, closing)
        try:
            outcome = _with_person(agent, finish, order) if order.get("rules") else None
            return outcome or told(_finished(agent, finish, order))
        except (BudgetExceededError, AgentFailedError) as error:
            limit = error.limit if isinstance(error, BudgetExceededError) else None
            return {**told(error.response), "raised": type(error).__name__, "limit": limit}
        except MBXAIError as error:
            return {"raised": type(error).__name__, "message": str(error)}


def told(response: AgentResponse, **more: object) -> dict[str, Any]:
    """What whoever started the program learns."""
    final = response.final_response
    data = response.model_dump(mode="json", exclude={"final_response"})
    dumped = final if final is None or isinstance(final, dict) else final.model_dump(mode="json")
    return {**data, "final_response": dumped, "final_type": type(final).__name__, **more}


def _finished(agent: Any, finish: Callable[[Any], AgentResponse], order: Order) -> AgentResponse:
    """Run the session; while the lease of a worker that is gone still holds, wait for its end."""
    until = time.monotonic() + order.get("patience", 0.0)
    while True:
        try:
            return finish(_started(agent, order))
        except SessionBusyError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _started(agent: Any, order: Order) -> Any:
    call = dict(order.get("call", {}))
    if "responses" in order:
        call["human_response"] = [HumanInLoopResponse(**r) for r in order["responses"]]
    for name in ("budget", "run_budget"):
        if name in call:
            call[name] = Budget(**call[name])
    prompt = call.pop("prompt", "")
    return agent.agent(prompt, FINAL_MODELS.get(order.get("final") or ""), **call)


def _with_person(
    agent: Any, finish: Callable[[Any], AgentResponse], order: Order
) -> dict[str, Any] | None:
    """Answer the stored requests by the rules, again and again, until none fits."""
    rules, form = order.get("rules") or [], order.get("form", "list")
    call = {"agent_id": order["call"]["agent_id"]}
    response = finish(agent.get_response(**call))
    answered: list[str] = []
    for _ in range(MOST_ANSWERS):
        answers = [
            answer
            for request in response.human_interaction_requests
            if (answer := _answer(request, rules)) is not None
        ]
        if not answers:
            break
        if form == "one":
            answers = answers[:1]
        answered += [answer.interaction_id for answer in answers]
        given: Any = answers[0] if form == "one" else answers
        if form == "batch":
            given = HumanInLoopResponseBatch(responses=answers)
        again = {**order, "call": {**order["call"], "human_response": given}}
        response = _finished(agent, finish, again)
    return told(response, answered=answered) if answered else None


def _answer(request: HumanInLoopRequest, rules: list[Rule]) -> HumanInLoopResponse | None:
    rule = next((rule for rule in rules if rule["to"] in request.prompt), None)
    if rule is None:
        return None
    dialog = request.dialog_options[0].id if request.dialog_options else None
    fields = {name: value for name, value in rule.items() if name != "to"}
    return HumanInLoopResponse(
        interaction_id=request.id,
        response_type=request.interaction_type,
        dialog_option_id=dialog,
        **fields,
    )


def _agent(order: Order, closing: ExitStack) -> tuple[Any, Callable[[Any], Any]]:
    """The agent, and what turns the result of its methods into a value."""
    world = WORLDS[order["world"]](Effects(Path(order["effects"])))
    settings = dict(order.get("settings", {}))
    if "budget" in settings:
        settings["budget"] = Budget(**settings["budget"])
    if "answer_deadline" in settings:
        from mbxai.agent.models import AnswerDeadline

        settings["answer_deadline"] = AnswerDeadline(**settings["answer_deadline"])
    settings["dialog_options"] = list(world.dialog_options)
    settings["session_handler"] = _sessions(order["sessions"], closing)
    arguments = ("sk-or-v1-story", "fake/story", order["base_url"])
    if order["kind"] == "blocking":
        client = closing.enter_context(OpenRouterClient(*arguments, max_retries=0))
        agent: Any = AgentClient(ToolClient(client), **settings)
        closing.callback(agent.close)
        _register(agent, world)
        return agent, lambda value: value
    runner = closing.enter_context(asyncio.Runner())
    core = AsyncOpenRouterClient(*arguments, max_retries=0)
    closing.callback(lambda: runner.run(core.aclose()))
    agent = AsyncAgentClient(AsyncToolClient(core), **settings)
    closing.callback(lambda: runner.run(agent.aclose()))
    _register(agent, world)
    return agent, runner.run


def _register(agent: Any, world: StoryWorld) -> None:
    for tool in world.tools:
        name, description = tool.function.__name__, tool.function.__doc__ or ""
        agent.register_tool(name, description, tool.function, **tool.options)


def _sessions(place: str, closing: ExitStack) -> object:
    if not place.startswith("redis://"):
        return SQLiteSessionStore(place)
    import redis

    connection = closing.enter_context(redis.Redis.from_url(place, decode_responses=True))
    return runpy.run_path(str(REDIS_EXAMPLE))["RedisSessionHandler"](connection)


if __name__ == "__main__":
    main(sys.argv[1])
