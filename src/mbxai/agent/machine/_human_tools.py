"""The three tools by which a model asks a person; their calls become requests, no code runs."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, Field, ValidationError

import mbxai.agent.machine._prompts as prompts
import mbxai.agent.machine._tool_questions as questions
from mbxai.agent._human_models import DialogOption, HumanInteractionType
from mbxai.agent.machine._snapshot import Interaction
from mbxai.wire import ToolDefinition

ASK_QUESTION = "ask_question"
REQUEST_DECISION = "request_decision"
OPEN_DIALOG = "open_dialog"
NAMES = frozenset({ASK_QUESTION, REQUEST_DECISION, OPEN_DIALOG})
"""Names that a person's own tools must not take while people are in the loop."""


MAX_SAME_DIALOG: Final = 3
"""How often a person completes the same dialogue for one task; more would be a loop."""

_MAX_OPTIONS: Final = 50

MODEL_ASKS: Final = "The model asks this, in its own words."


def _spoken(text: str) -> str:
    """Return a model's words as a person sees them."""
    seen = questions.shown(text).strip()
    if not seen:
        raise ValueError("is blank")
    return seen


def _distinct(options: list[str]) -> list[str]:
    """Return options without blank ones and those that differ in nothing but case."""
    spelled: dict[str, str] = {}
    for option in options:
        seen = " ".join(questions.shown(option).split())
        spelled.setdefault(seen.casefold(), seen)
    spelled.pop("", None)
    if not spelled:
        raise ValueError("all are blank")
    return list(spelled.values())


class _Question(BaseModel):
    prompt: Annotated[str, AfterValidator(_spoken)]


class _Decision(BaseModel):
    prompt: Annotated[str, AfterValidator(_spoken)]
    options: Annotated[
        list[str], Field(min_length=1, max_length=_MAX_OPTIONS), AfterValidator(_distinct)
    ]


class _Dialog(BaseModel):
    dialog_option_id: str
    reason: str = ""


def definitions(options: Sequence[DialogOption]) -> list[ToolDefinition]:
    """Return the tools as they are offered to a model.

    Args:
        options: Dialogues that the application can show; without any, `open_dialog` is left out.

    Returns:
        Two or three tool definitions.
    """
    text = {"type": "string"}
    tools = [
        _definition(ASK_QUESTION, prompts.ASK_QUESTION, {"prompt": text}),
        _definition(
            REQUEST_DECISION,
            prompts.REQUEST_DECISION,
            {"prompt": text, "options": {"type": "array", "items": text, "minItems": 1}},
        ),
    ]
    if options:
        ids = {"type": "string", "enum": [option.id for option in options]}
        tools.append(
            _definition(
                OPEN_DIALOG,
                prompts.open_dialog(options),
                {"dialog_option_id": ids, "reason": text},
            )
        )
    return tools


def interaction(
    name: str,
    arguments: str,
    options: Sequence[DialogOption],
    *,
    interaction_id: str,
    task_id: str,
    call_id: str,
    earlier: Sequence[Interaction] = (),
) -> Interaction | str:
    """Turn a call of one of the three tools into a request to a person.

    Args:
        name: Name of the tool.
        arguments: JSON text as the model wrote it.
        options: Dialogues that the application can show.
        interaction_id: Id for the request.
        task_id: The task that asks.
        call_id: The model's id of the call.
        earlier: Requests of the turn so far.

    Returns:
        The request, or a text for the model that says what is wrong with the call.
    """
    try:
        if name == ASK_QUESTION:
            fields = _question(arguments)
        elif name == REQUEST_DECISION:
            fields = _decision(arguments)
        else:
            fields = _dialog(arguments, options, [i for i in earlier if i.task_id == task_id])
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return json.dumps({"error": f"{name}: {problems}"})
    except _RefusedError as error:
        return json.dumps({"error": str(error)})
    return Interaction(id=interaction_id, purpose="ask", task_id=task_id, call_id=call_id, **fields)


class _RefusedError(Exception):
    """A person is not asked this; says why."""


def _question(arguments: str) -> dict[str, Any]:  # Any: fields of Interaction
    question = _Question.model_validate_json(arguments or "{}")
    return {
        "interaction_type": HumanInteractionType.QUESTION,
        "prompt": question.prompt,
        "context": MODEL_ASKS,
    }


def _decision(arguments: str) -> dict[str, Any]:  # Any: fields of Interaction
    decision = _Decision.model_validate_json(arguments or "{}")
    return {
        "interaction_type": HumanInteractionType.DECISION,
        "prompt": decision.prompt,
        "options": tuple(decision.options),
        "context": MODEL_ASKS,
    }


def _dialog(
    arguments: str, options: Sequence[DialogOption], earlier: Sequence[Interaction]
) -> dict[str, Any]:  # Any: fields of Interaction
    dialog = _Dialog.model_validate_json(arguments or "{}")
    option = next((o for o in options if o.id == dialog.dialog_option_id), None)
    if option is None:
        raise _RefusedError(prompts.unknown_dialog([o.id for o in options]))
    completed = [i for i in earlier if i.answer and i.dialog_option_id == option.id]
    if len(completed) >= MAX_SAME_DIALOG:
        raise _RefusedError(prompts.DIALOG_TOO_OFTEN)
    reason = questions.shown(dialog.reason).strip()
    return {
        "interaction_type": HumanInteractionType.DIALOG_OPTION,
        "prompt": f"{option.title}: {option.description}",
        "dialog_option_id": option.id,
        "context": f"The model says: {reason}" if reason else "",
    }


def _definition(name: str, description: str, properties: dict[str, Any]) -> ToolDefinition:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
        },
    }
