"""What a call of `agent()` means for a session as it stands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, TypedDict
from uuid import uuid4

from pydantic import BaseModel, RootModel, ValidationError
from pydantic_core import PydanticSerializationError

import mbxai._telemetry as telemetry
import mbxai.agent._people as people
import mbxai.agent.machine._human_tools as human_tools
from mbxai.agent._events import AgentEvent
from mbxai.agent._human_models import AnswerDeadline, AnswerList, DialogOption
from mbxai.agent._limits import limits_with
from mbxai.agent._people import HumanResponse
from mbxai.agent.machine._inputs import Continued, FinalStructureChanged, Input, TurnStarted
from mbxai.agent.machine._lengths import is_unicode
from mbxai.agent.machine._snapshot import AgentSnapshot, FinalSchema, Limits
from mbxai.errors import ConfigurationError
from mbxai.sessions import CredentialVault, is_id
from mbxai.wire import Budget, ToolInfo, json_schema_of

_REQUEST_DIGITS: Final = 16


class AgentOptions(TypedDict, total=False):
    """Optional arguments of `agent()` and `stream()`, beyond the prompt and the final model.

    Attributes:
        tools: Names of the tools that may be used; None or left out: all.
        dialog_options: Dialogues that the application can show, instead of the client's.
        human_in_loop: Whether people may be asked, instead of the client's setting.
        agent_id: The session to go on with; an unknown id starts a session of that id.
        human_response: Answers of people: one, a list, or a batch; a batch may be partial.
        planning: "stepwise" or "merged", instead of the client's.
        quality_iterations: How often the final response is judged, instead of the client's.
        max_repeats: How often a tool call may give the same in a row, instead of the client's.
        max_context_tokens: Tokens of a conversation before it is summed up, instead of the
            client's.
        unplanned_tools: "ask" or "allow", instead of the client's.
        on_changed_tools: "continue" or "refuse", instead of the client's; also for a turn that goes
            on.
        answer_deadline: How long requests to people stay open, instead of the client's.
        budget: Bounds for the session, over all its turns, instead of the client's.
        run_budget: Bounds for this call, instead of the client's.
        on_event: Told of each event of this call, instead of the client's.
        raise_on_failure: Whether FAILED raises `AgentFailedError`; True unless given.
        ask_questions: Deprecated; the same as `human_in_loop`.
        answers: Deprecated; answers to `response.questions` by key.
    """

    tools: Sequence[str] | None
    dialog_options: Sequence[DialogOption] | None
    human_in_loop: bool | None
    agent_id: str | None
    human_response: HumanResponse | None
    planning: Literal["stepwise", "merged"] | None
    quality_iterations: int | None
    max_repeats: int | None
    max_context_tokens: int | None
    unplanned_tools: Literal["ask", "allow"] | None
    on_changed_tools: Literal["continue", "refuse"] | None
    answer_deadline: AnswerDeadline | None
    budget: Budget | None
    run_budget: Budget | None
    on_event: Callable[[AgentEvent], object] | None
    raise_on_failure: bool
    ask_questions: bool | None
    answers: AnswerList | None


class SubmitOptions(AgentOptions, total=False):
    """Optional arguments of `submit()`.

    Attributes:
        request_key: Names this request, in up to 256 characters: submitted again, it gives the
            same session and begins nothing. Without `agent_id` the session's id follows from it
            and from the scope, so let it be one that nobody guesses.
    """

    request_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDefaults:
    """What a turn gets where a call of `agent()` does not say otherwise."""

    human_in_loop: bool
    dialog_options: tuple[DialogOption, ...]
    limits: Limits


def defaults_of(
    human_in_loop: bool, dialog_options: object, limits: Mapping[str, object]
) -> TurnDefaults:
    """Return what a client's turns get.

    Args:
        human_in_loop: Whether people may be asked.
        dialog_options: What the caller gave as `dialog_options`.
        limits: Bounds by the names of the agent's arguments.

    Raises:
        ConfigurationError: One of them is impossible.
    """
    return TurnDefaults(
        human_in_loop=human_in_loop,
        dialog_options=dialogs_of(dialog_options),
        limits=limits_with(Limits(), limits),
    )


def inputs_of(
    snapshot: AgentSnapshot,
    prompt: str,
    final_schema: FinalSchema | None,
    options: AgentOptions,
    *,
    defaults: TurnDefaults,
    tools: Sequence[ToolInfo],
    vault: CredentialVault,
    now: float = 0.0,
    request: str = "",
) -> list[Input]:
    """Decide what a call means: answers, going on, a new turn, or a look.

    Args:
        snapshot: The session as it stands.
        prompt: The caller's prompt; read only if a turn can begin.
        final_schema: The wanted final response.
        options: The caller's other arguments.
        defaults: The client's settings.
        tools: Tools that the client has.
        vault: Where credentials of answers go.
        now: When answers came, in seconds since 1970; 0.0: not known.
        request: Digest of the request; empty where it has no name.

    Returns:
        Inputs of the machine, in order; none if there is nothing to do.

    Raises:
        ConfigurationError: A turn cannot begin like this, or the tool is not there that an answer
            lets go on.
        InteractionError: An answer does not fit; nothing was kept of it.
    """
    answers = people.as_list(options.get("human_response"))
    if given := options.get("answers"):
        answers += people.from_answer_list(snapshot, given)
    names = {tool.name for tool in tools}
    inputs: list[Input] = []
    if snapshot.calls and (snapshot.error is None or snapshot.error.retryable):
        can_say = tuple(tool.name for tool in tools if tool.can_reconcile)
        inputs.append(Continued(reconcilable=can_say))
    is_going = bool(inputs or snapshot.open_interactions())
    if answers:
        inputs.extend(people.accept(snapshot, answers, vault, tools=names, now=now))
    if is_going or inputs or (not prompt and snapshot.turn > 0):
        return [*inputs, *_restructured(snapshot, final_schema, is_going=is_going)]
    if not prompt or final_schema is None:
        raise ConfigurationError(
            "A new turn needs a prompt and final_response_structure.",
            hint="Pass both, or agent_id of a session that waits or was interrupted.",
        )
    turn = _turn(prompt, final_schema, options, defaults, tools)
    return [turn.model_copy(update={"request": request})]


def _restructured(
    snapshot: AgentSnapshot, final_schema: FinalSchema | None, *, is_going: bool
) -> list[Input]:
    """Return what another wanted final response means; a turn that is over keeps its own."""
    made_as = snapshot.final_response_structure
    if final_schema is None or final_schema == made_as:
        return []
    if not is_going:
        if made_as is None:  # stored by mbxai 2.3, which kept no schema
            return []
        raise ConfigurationError(
            f"The session's final response was made as {made_as.name}.",
            hint="Give a prompt to have another one made.",
        )
    return [FinalStructureChanged(final_response_structure=final_schema)]


def final_schema_of(final_type: object) -> FinalSchema | None:
    """Return the schema of the wanted final response.

    Args:
        final_type: What the caller gave as `final_response_structure`.

    Returns:
        Its name and JSON Schema; None if nothing was given.

    Raises:
        ConfigurationError: It is no pydantic model class of an object, or has no JSON Schema.
    """
    if final_type is None:
        return None
    if (
        not isinstance(final_type, type)
        or not issubclass(final_type, BaseModel)
        or issubclass(final_type, RootModel)
        or not final_type.model_fields
    ):
        raise ConfigurationError(
            f"final_response_structure must be a pydantic model class with fields, not "
            f"{final_type!r:.80}.",
            hint="Define `class Answer(BaseModel): ...` and pass Answer.",
        )
    return FinalSchema(name=final_type.__name__, json_schema=json_schema_of(final_type))


def check_options(options: Mapping[str, object], method: str) -> None:
    """Refuse keywords that are no options.

    Args:
        options: What a caller gave.
        method: Whom they were given to.

    Raises:
        TypeError: There is no option of a name.
    """
    known = SubmitOptions if method == "submit" else AgentOptions
    if unknown := options.keys() - known.__annotations__.keys():
        raise TypeError(f"{method}() got an unexpected keyword argument {min(unknown)!r}")


def request_of(options: SubmitOptions) -> str:
    """Return the digest by which a session knows a request again; empty where it has no name.

    Args:
        options: The caller's arguments.

    Raises:
        ConfigurationError: `request_key` cannot be one.
    """
    key = options.get("request_key")
    if key is None:
        return ""
    if not is_id(key):
        raise ConfigurationError(
            "request_key must be text of 1 to 256 characters without control characters."
        )
    return sha256(key.encode()).hexdigest()[:_REQUEST_DIGITS]


def limit_options(options: AgentOptions) -> dict[str, object]:
    """Return the bounds of a turn that a caller gave, by the names of the arguments.

    Args:
        options: The caller's arguments; those that are None leave the client's setting.
    """
    given = {
        "planning": options.get("planning"),
        "quality_iterations": options.get("quality_iterations"),
        "max_repeats": options.get("max_repeats"),
        "max_context_tokens": options.get("max_context_tokens"),
        "unplanned_tools": options.get("unplanned_tools"),
        "on_changed_tools": options.get("on_changed_tools"),
        "answer_deadline": options.get("answer_deadline"),
    }
    return {name: value for name, value in given.items() if value is not None}


def check_tools(wanted: Sequence[str] | None, tools: Sequence[ToolInfo]) -> None:
    """Refuse names of tools that the client does not have.

    Args:
        wanted: Names that the caller gave; None: no limit.
        tools: Tools that the client has.

    Raises:
        ConfigurationError: A name is not known.
    """
    if isinstance(wanted, str):
        raise ConfigurationError(f"tools must be a list of names, not {wanted!r:.80}.")
    known = [tool.name for tool in tools]
    unknown = [name for name in wanted or () if name not in known]
    if unknown:
        raise ConfigurationError(
            f"tools names {', '.join(map(repr, unknown))}, which the client does not have.",
            hint=f"Its tools: {', '.join(known) or 'none'}.",
        )


def _turn(
    prompt: str,
    final_schema: FinalSchema,
    options: AgentOptions,
    defaults: TurnDefaults,
    tools: Sequence[ToolInfo],
) -> TurnStarted:
    human_in_loop = options.get("human_in_loop")
    if (asked := options.get("ask_questions")) is not None:
        human_in_loop = asked if human_in_loop is None else human_in_loop
    if human_in_loop is None:
        human_in_loop = defaults.human_in_loop
    if human_in_loop and (taken := human_tools.NAMES & {tool.name for tool in tools}):
        raise ConfigurationError(
            f"The client has a tool named {', '.join(sorted(taken))}, by which the agent asks "
            "people.",
            hint="Register it under another name, or pass human_in_loop=False.",
        )
    dialogs, limited = options.get("dialog_options"), options.get("tools")
    try:
        turn = TurnStarted(
            prompt=prompt,
            nonce=uuid4().hex,
            final_response_structure=final_schema,
            human_in_loop=human_in_loop,
            dialog_options=_storable(
                defaults.dialog_options if dialogs is None else dialogs_of(dialogs)
            ),
            tools=None if limited is None else tuple(dict.fromkeys(limited)),
            limits=limits_with(defaults.limits, limit_options(options)),
            traceparent=telemetry.current_traceparent(),
        )
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise ConfigurationError(f"agent(): {where}: {problem['msg']}.") from None
    if not is_unicode(prompt):
        raise ConfigurationError(
            "The prompt cannot be sent: it holds half of a surrogate pair, such as a cut emoji."
        )
    return turn


def dialogs_of(options: object) -> tuple[DialogOption, ...]:
    """Return dialogue options as they were given, checked.

    Args:
        options: What the caller gave as `dialog_options`.

    Returns:
        The options, in order.

    Raises:
        ConfigurationError: It is no list of `DialogOption`s with ids of their own.
    """
    items: list[object] = list(options) if isinstance(options, (list, tuple)) else [options]  # pyright: ignore[reportUnknownArgumentType]  # users' input
    if options is None:
        return ()
    checked = tuple(item for item in items if isinstance(item, DialogOption) and item.id)
    if isinstance(options, DialogOption) or len(checked) < len(items):
        raise ConfigurationError(
            f"dialog_options must be a list of DialogOptions with an id, not {options!r:.80}."
        )
    if len({option.id for option in checked}) < len(checked):
        raise ConfigurationError("dialog_options has two options of one id.")
    return checked


def _storable(options: Sequence[DialogOption]) -> tuple[DialogOption, ...]:
    """Return dialogue options without their functions, which stay with the application."""
    for option in options:
        try:
            option.model_dump(mode="json")
        except PydanticSerializationError as error:
            raise ConfigurationError(
                f"The parameters of dialogue option {option.id!r} are no JSON values.",
                hint="Use strings, numbers, lists and dicts; they are stored and shown.",
            ) from error
    return tuple(option.model_copy(update={"function": None}) for option in options)
