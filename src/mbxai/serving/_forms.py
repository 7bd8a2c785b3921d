"""What a person is asked as a form: the JSON Schema of the answer to a request. Pure."""

from typing import Any, Final

from mbxai.agent.models import HumanInLoopRequest, HumanInteractionType

_SECRET: Final = {"type": "string", "format": "password", "writeOnly": True}


def answer_schema(request: HumanInLoopRequest) -> dict[str, Any]:  # Any: JSON Schema
    """Return the JSON Schema of an answer, a `HumanInLoopResponse`, to this request.

    Args:
        request: What is asked.

    Returns:
        The schema of an object. Fields of secrets are `writeOnly` and of the format "password".
    """
    fields: dict[str, Any] = {
        "interaction_id": {"const": request.id},
        "response_type": {"const": request.interaction_type.value},
    }
    if request.response_schema is not None:
        fields["content"] = request.response_schema
        wanted = "content"
    elif request.interaction_type is HumanInteractionType.DECISION:
        fields["decision"] = {"type": "string", "enum": request.options}
        wanted = "decision"
    elif request.interaction_type is HumanInteractionType.QUESTION:
        fields["answer"] = {"type": "string", "minLength": 1}
        wanted = "answer"
    else:
        ids = [option.id for option in request.dialog_options]
        fields["dialog_option_id"] = {"type": "string", "enum": ids}
        fields["credentials"] = _credentials(request)
        wanted = "dialog_option_id"
    return {
        "type": "object",
        "title": request.prompt,
        "properties": fields,
        "required": ["interaction_id", "response_type", wanted],
    }


def _credentials(request: HumanInLoopRequest) -> dict[str, Any]:  # Any: JSON Schema
    names = dict.fromkeys(name for option in request.dialog_options for name in option.credentials)
    schema: dict[str, Any] = {"type": "object", "writeOnly": True}
    if not names:
        return schema | {"additionalProperties": _SECRET}
    schema["properties"] = dict.fromkeys(names, _SECRET)
    if len(request.dialog_options) == 1:
        schema["required"] = list(names)
    return schema
