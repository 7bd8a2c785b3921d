"""The three tools by which a model asks a person; their calls become requests, no code runs."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError

import mbxai.agent._prompts as prompts
from mbxai.agent._human_models import DialogOption, HumanInteractionType
from mbxai.agent._snapshot import Interaction
from mbxai.wire import ToolDefinition

ASK_QUESTION = "ask_question"
REQUEST_DECISION = "request_decision"
OPEN_DIALOG = "open_dialog"
NAMES = frozenset({ASK_QUESTION, REQUEST_DECISION, OPEN_DIALOG})
"""Names that a person's own tools must not take while people are in the loop."""


class _Question(BaseModel):
    prompt: str = Field(min_length=1)


class _Decision(BaseModel):
    prompt: str = Field(min_length=1)
    options: list[str] = Field(min_length=1)


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
) -> Interaction | str:
    """Turn a call of one of the three tools into a request to a person.

    Args:
        name: Name of the tool.
        arguments: JSON text as the model wrote it.
        options: Dialogues that the application can show.
        interaction_id: Id for the request.
        task_id: The task that asks.
        call_id: The model's id of the call.

    Returns:
        The request, or a text for the model that says what is wrong with the call.
    """
    ids = {"id": interaction_id, "purpose": "ask", "task_id": task_id, "call_id": call_id}
    try:
        if name == ASK_QUESTION:
            question = _Question.model_validate_json(arguments or "{}")
            fields: dict[str, Any] = {"prompt": question.prompt}
            kind = HumanInteractionType.QUESTION
        elif name == REQUEST_DECISION:
            decision = _Decision.model_validate_json(arguments or "{}")
            fields = {"prompt": decision.prompt, "options": tuple(dict.fromkeys(decision.options))}
            kind = HumanInteractionType.DECISION
        else:
            dialog = _Dialog.model_validate_json(arguments or "{}")
            option = next((o for o in options if o.id == dialog.dialog_option_id), None)
            if option is None:
                return json.dumps({"error": prompts.unknown_dialog([o.id for o in options])})
            fields = {
                "prompt": f"{option.title}: {option.description}",
                "dialog_option_id": option.id,
                "context": dialog.reason,
            }
            kind = HumanInteractionType.DIALOG_OPTION
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return json.dumps({"error": f"{name}: {problems}"})
    return Interaction(interaction_type=kind, **ids, **fields)


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
