"""Answers of people as JSON Schema: what each kind of request wants, and what is secret."""

from typing import Any

import jsonschema
import pytest

from mbxai import DialogOption, HumanInLoopRequest, HumanInLoopResponse
from mbxai.serving import answer_schema

LOGIN = DialogOption(id="login", title="Log in", description="", credentials=["user", "password"])
BADGE = DialogOption(id="badge", title="Badge", description="")
FORM = {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}


def request(kind: str, **more: Any) -> HumanInLoopRequest:
    return HumanInLoopRequest(id="i", interaction_type=kind, prompt="Which?", **more)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (request("decision", options=["yes", "no"]), {"decision": "no"}),
        (request("question"), {"answer": "blue"}),
        (request("question", response_schema=FORM), {"content": {"size": 3}}),
        (request("dialog_option", dialog_options=[BADGE]), {"dialog_option_id": "badge"}),
        (
            request("dialog_option", dialog_options=[LOGIN]),
            {"dialog_option_id": "login", "credentials": {"user": "a", "password": "b"}},
        ),
    ],
)
def test_what_fits_the_schema_is_an_answer(
    asked: HumanInLoopRequest, answer: dict[str, Any]
) -> None:
    schema = answer_schema(asked)
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = {"interaction_id": "i", "response_type": asked.interaction_type.value} | answer
    jsonschema.validate(whole, schema)
    HumanInLoopResponse.model_validate(whole)
    for name in whole:
        if name != "credentials":
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({k: v for k, v in whole.items() if k != name}, schema)


def test_credentials_are_secret_and_named_where_their_names_are_known() -> None:
    secret = {"type": "string", "format": "password", "writeOnly": True}
    known = answer_schema(request("dialog_option", dialog_options=[LOGIN]))["properties"]
    assert known["credentials"]["properties"] == {"user": secret, "password": secret}
    assert known["credentials"]["required"] == ["user", "password"]
    free = answer_schema(request("dialog_option", dialog_options=[BADGE]))["properties"]
    assert free["credentials"]["additionalProperties"] == secret
    both = answer_schema(request("dialog_option", dialog_options=[LOGIN, BADGE]))["properties"]
    assert "required" not in both["credentials"]
