"""Conversations that grow too long: the model sums up their older part. Pure.

Of a task's conversation stay the system message, the turn and the task, the summary, and the last
round of tool calls as it was. Of earlier turns stay the summary and the last one. Where the model
gives no summary that is of use, long results of tools are cut to their beginning and end instead.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import mbxai.agent.machine._defence as defence
import mbxai.agent.machine._prompts as prompts
from mbxai.agent._events import ContextCompacted
from mbxai.agent.machine._inputs import ModelReturned
from mbxai.agent.machine._lengths import CHARS_PER_TOKEN, bound_of, shortened
from mbxai.agent.machine._snapshot import AgentSnapshot, ModelCall, ModelStep, TaskRun
from mbxai.agent.machine._work import Work

_KEPT_OF_OLD_RESULT: Final = 600
_LEAST_KEPT: Final = 1_000
_NOTE_CHARS: Final = 100
_WORTH_SUMMING_UP: Final = 4
_HISTORY_SHARE: Final = 2

_HEADING: Final = f"\n\n{prompts.SUMMED_UP}\n"

Conversation = Sequence[dict[str, Any]]  # Any: messages of the wire


# --- tasks ----------------------------------------------------------------------------------------


def go_on(work: Work, task_id: str) -> None:
    """Open the next model call of a task, after a compaction if its conversation is too long."""
    bound, run = bound_of(work.snapshot), work.run(task_id)
    length = 0 if bound is None else tokens_of(run)
    if bound is None or length <= bound:
        work.call_model(ModelStep.TASK, task_id=task_id)
    elif tokens_in(_old(run.messages)) * _WORTH_SUMMING_UP >= length:
        work.call_model(ModelStep.COMPACTION, task_id=task_id)
    else:
        # Summing up the little that is old would not help: the last round alone is too long.
        _cut_results(work, task_id)
        work.call_model(ModelStep.TASK, task_id=task_id)


def request(snapshot: AgentSnapshot, call: ModelCall) -> list[dict[str, Any]]:  # Any: as above
    """Return the conversation by which a model is asked for a summary.

    Args:
        snapshot: The state.
        call: The open call: of a task, or of no task for that of earlier turns.

    Returns:
        A system message, then what is to be summed up in one user message.
    """
    messages = messages_to_sum_up(snapshot, call)
    bound = bound_of(snapshot)
    room = None if bound is None else max(bound * CHARS_PER_TOKEN, _LEAST_KEPT)
    if call.task_id is None:
        system: dict[str, Any] = {"role": "system", "content": prompts.SYSTEM}
        before = snapshot.history_summary
    else:
        system, task = snapshot.runs[call.task_id].messages[:2]
        before = str(task["content"])
    parts = [before, _in_words(messages, room), prompts.SUM_UP]
    if call.feedback:
        parts.append(prompts.unusable_answer(call.feedback))
    return [dict(system), {"role": "user", "content": "\n\n".join(p for p in parts if p)}]


def messages_to_sum_up(snapshot: AgentSnapshot, call: ModelCall) -> list[dict[str, Any]]:
    """Return the messages in whose place a summary will stand.

    Args:
        snapshot: The state.
        call: The open call.

    Returns:
        The older part of the task's conversation, or of that of earlier turns.
    """
    if call.task_id is None:
        return [dict(message) for message in _old_turns(snapshot)]
    return list(_old(snapshot.runs[call.task_id].messages))


def on_summary(work: Work, call: ModelCall, event: ModelReturned) -> None:
    """Put a summary in the place of what it sums up, if it is of use."""
    given: object = event.value.get("summary")  # a client of one's own may check nothing
    summary = defence.stripped(given).strip() if isinstance(given, str) else ""
    replaced = messages_to_sum_up(work.snapshot, call)
    # In the place of nothing, or of less, a summary would only make the conversation longer.
    if not summary or len(summary) >= len(_in_words(replaced, None)):
        give_up(work, call)
    elif call.task_id is None:
        _shorten_history(work, summary)
    else:
        run = work.run(call.task_id)
        system, task = run.messages[:2]
        # With the tag, lest a text that only looks like the heading be taken for it.
        heading = f"{_HEADING}<data-{defence.tag_of(work.snapshot)} "
        about = str(task["content"]).split(heading)[0]
        told = f"{about}{_HEADING}{_noted(work.snapshot, summary)}"
        kept = run.messages[_last_round(run.messages) :]
        _replace(work, call.task_id, (system, {**task, "content": told}, *kept))
        work.call_model(ModelStep.TASK, task_id=call.task_id)


def give_up(work: Work, call: ModelCall) -> None:
    """Go on without a summary; what is too long is cut."""
    if call.task_id is None:
        lines = [f"{m['role']}: {m['content']}" for m in _old_turns(work.snapshot)]
        cut = [shortened(line, _KEPT_OF_OLD_RESULT) for line in lines]
        before = [work.snapshot.history_summary] if work.snapshot.history_summary else []
        bound = bound_of(work.snapshot) or _LEAST_KEPT
        _shorten_history(work, shortened("\n".join([*before, *cut]), bound))
    else:
        _cut_results(work, call.task_id)
        work.call_model(ModelStep.TASK, task_id=call.task_id)


def tokens_of(run: TaskRun) -> int:
    """Estimate how long a task's conversation is.

    Args:
        run: How the task is being executed.

    Returns:
        Tokens: as they were counted at the model's last answer, with an estimate of what came since
        then; an estimate of all where nobody has counted.
    """
    if not run.context_tokens:
        return tokens_in(run.messages)
    answers = [n for n, message in enumerate(run.messages) if message["role"] == "assistant"]
    return run.context_tokens + tokens_in(run.messages[answers[-1] + 1 :] if answers else ())


def tokens_in(messages: Conversation) -> int:
    """Estimate how many tokens some messages are."""
    return sum(len(_as_text(message)) for message in messages) // CHARS_PER_TOKEN


def _last_round(messages: Conversation) -> int:
    """Where the last assistant message that calls tools stands."""
    calling = [n for n, message in enumerate(messages) if message.get("tool_calls")]
    return calling[-1] if calling else len(messages)


def _old(messages: Conversation) -> Conversation:
    return messages[2 : _last_round(messages)]


def _cut_results(work: Work, task_id: str) -> None:
    """Cut results of earlier rounds; those of the last one too if it is too long by itself."""
    messages = list(work.run(task_id).messages)
    last, bound = _last_round(messages), bound_of(work.snapshot) or 0
    cut = [
        _cut(m, _KEPT_OF_OLD_RESULT) if number < last else m for number, m in enumerate(messages)
    ]
    results = [number for number in range(last, len(cut)) if cut[number]["role"] == "tool"]
    if results and tokens_in(cut) > bound:
        others = tokens_in([m for number, m in enumerate(cut) if number not in results])
        share = (bound - others) * CHARS_PER_TOKEN // len(results)
        cut = [
            _cut(m, max(share, _LEAST_KEPT)) if number in results else m
            for number, m in enumerate(cut)
        ]
    _replace(work, task_id, tuple(cut))


def _cut(message: dict[str, Any], max_chars: int) -> dict[str, Any]:
    if message["role"] != "tool" or not isinstance(message["content"], str):
        return message
    return {**message, "content": shortened(message["content"], max_chars)}


def _replace(work: Work, task_id: str, messages: tuple[dict[str, Any], ...]) -> None:
    before = tokens_of(work.run(task_id))
    work.change_run(task_id, messages=messages, context_tokens=0)
    work.emit(ContextCompacted(task_id=task_id, before_tokens=before))


def _noted(snapshot: AgentSnapshot, summary: str) -> str:
    """A summary as a model is shown it: what tools said is in it, so it is no instruction."""
    return defence.marked(summary, name="summary", source="local", tag=defence.tag_of(snapshot))


# --- earlier turns --------------------------------------------------------------------------------


def begin_turn(work: Work) -> None:
    """Open the first model call of a turn, after a compaction if earlier turns are too long."""
    bound = bound_of(work.snapshot)
    if bound is None or _history_tokens(work.snapshot) * _HISTORY_SHARE <= bound:
        work.call_model(first_step(work.snapshot))
    elif _old_turns(work.snapshot):
        work.call_model(ModelStep.COMPACTION)
    else:
        _shorten_history(work, work.snapshot.history_summary)


def first_step(snapshot: AgentSnapshot) -> ModelStep:
    """Return the step with which a turn begins."""
    is_merged = snapshot.limits.planning == "merged"
    return ModelStep.PLANNING if is_merged else ModelStep.REQUIREMENT


def _shorten_history(work: Work, summary: str) -> None:
    """Keep a summary, the last turn, and the prompt of this one; then plan."""
    before, bound = _history_tokens(work.snapshot), bound_of(work.snapshot) or 0
    kept = work.snapshot.conversation_history[len(_old_turns(work.snapshot)) :]
    work.update(history_summary=summary, conversation_history=kept)
    if _history_tokens(work.snapshot) * _HISTORY_SHARE > bound:
        room = bound * CHARS_PER_TOKEN // _HISTORY_SHARE - len(summary)
        most = max(room // len(kept) - _NOTE_CHARS, _LEAST_KEPT)
        cut = tuple({**m, "content": shortened(m["content"], most)} for m in kept[:-1])
        work.update(conversation_history=(*cut, kept[-1]))
    work.emit(ContextCompacted(task_id=None, before_tokens=before))
    work.call_model(first_step(work.snapshot))


def _old_turns(snapshot: AgentSnapshot) -> tuple[dict[str, str], ...]:
    """The conversation before the last turn; that of the present turn is its prompt alone."""
    earlier = snapshot.conversation_history[:-1]
    prompts_at = [n for n, message in enumerate(earlier) if message["role"] == "user"]
    return earlier[: prompts_at[-1]] if prompts_at else ()


def _history_tokens(snapshot: AgentSnapshot) -> int:
    text = len(snapshot.history_summary) // CHARS_PER_TOKEN
    return text + tokens_in(snapshot.conversation_history[:-1])


# --- in words -------------------------------------------------------------------------------------


def _in_words(messages: Conversation, max_chars: int | None) -> str:
    """Messages as one text; each is shortened if they are longer than `max_chars` together."""
    lines = [line for message in messages for line in _lines(message)]
    if max_chars is not None and sum(map(len, lines)) > max_chars:
        share = max(max_chars // len(lines), 2)
        lines = [shortened(line, share) for line in lines]
    return "\n".join(lines)


def _lines(message: dict[str, Any]) -> list[str]:
    content = message.get("content")
    text = content if isinstance(content, str) else json.dumps(content) if content else ""
    if message["role"] == "tool":
        return [f"result: {text}"]
    lines = [f"{message['role']}: {text}"] if text else []
    return lines + [
        f"call: {call['function']['name']}({call['function']['arguments']})"
        for call in message.get("tool_calls") or ()
    ]


def _as_text(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, default=str)
