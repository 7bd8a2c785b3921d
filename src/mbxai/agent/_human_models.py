"""Models of the dialogue with people: what the agent asks, what a person answers."""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal
from uuid import uuid4

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FieldSerializationInfo,
    SecretStr,
    field_serializer,
    field_validator,
)

_MASK = str(SecretStr("a secret"))
_HUNDRED_YEARS = 100 * 365.25 * 86400


class HumanInteractionType(StrEnum):
    """What kind of answer is wanted."""

    DECISION = "decision"
    QUESTION = "question"
    DIALOG_OPTION = "dialog_option"


class DialogOption(BaseModel):
    """A dialogue that the application can show: a login, an approval form, a file picker.

    Attributes:
        id: Name that answers refer to.
        function: Kept for the application; never called, sent or stored.
        parameters: What the dialogue needs; shown to the application, not secret.
        credentials: Names of what a person is asked for, such as "username" and "password"; user
            interfaces have a field for each. Empty: an answer may bring any.
        allowed_tools: Names of the tools, also of MCP servers, that may get the credentials of
            this dialogue, in whichever argument the model passes them; no other tool gets them.
            None: tools of one's own, in an argument that has the credential's name.
    """

    id: str
    title: str
    description: str
    function: Callable[..., object] | None = Field(default=None, exclude=True, repr=False)
    parameters: dict[str, Any] = Field(
        default_factory=dict[str, Any]
    )  # Any: the application's own JSON
    credentials: list[str] = Field(default_factory=list[str], exclude_if=operator.not_)
    allowed_tools: list[str] | None = None


class AnswerDeadline(BaseModel):
    """How long requests to people stay open, and what is done when nobody has answered.

    Attributes:
        seconds: From the request on, at most a hundred years.
        complexity: For a complex task that asks whether to go on.
        approval: For a tool that asks whether it may run; what became of one that was interrupted
            is then taken as unknown, and it is not run again.
        ask: For what the model or a tool wants to know: "tell" them that nobody answered, or
            "abort" the run.
        goal: For a goal that is not reached when no round of the plan is left: "fail" the run, or
            "accept" what there is.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(gt=0, le=_HUNDRED_YEARS)
    complexity: Literal["proceed", "skip", "abort"] = "skip"
    approval: Literal["approve", "decline"] = "decline"
    ask: Literal["tell", "abort"] = "tell"
    goal: Literal["accept", "fail"] = "fail"


class HumanInLoopRequest(BaseModel):
    """A question of the agent; its id stays the same until it is answered.

    Attributes:
        options: Answers to choose from, for a DECISION.
        dialog_options: The dialogue to show, for a DIALOG_OPTION.
        context: Why the agent asks. Words of the model are said to be its own.
        task_id: The task that waits for the answer, if one does.
        response_schema: JSON Schema of the values that are asked for, where a tool's form has
            fields; the answer's `content`, an object of plain values, must fit it.
        url: An address that a tool asks the person to visit; show it whole, and never open it
            unasked.
        source: Name of the MCP server that asks, where one does.
        expires_at: When the agent goes on without an answer, in UTC; None: never.
    """

    id: str = Field(default_factory=lambda: str(uuid4()))
    interaction_type: HumanInteractionType
    prompt: str
    options: list[str] = Field(default_factory=list[str])
    dialog_options: list[DialogOption] = Field(default_factory=list[DialogOption])
    context: str = ""
    required: bool = True
    task_id: str | None = None
    response_schema: dict[str, Any] | None = None  # Any: JSON Schema
    url: str = ""
    source: str = ""
    expires_at: datetime | None = None

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import request_html  # noqa: PLC0415  # only where it is looked at

        return request_html(self)


class HumanInLoopResponse(BaseModel):
    """A person's answer.

    Attributes:
        interaction_id: Id of the request.
        decision: The option chosen, for a DECISION; "decline" or "cancel" for a QUESTION of a tool
            that is not to be answered.
        answer: Free text, for a QUESTION. Where a tool's form has several fields, a JSON object.
        dialog_option_id: The dialogue that was completed, for a DIALOG_OPTION.
        additional_context: A remark; for a DIALOG_OPTION it is a credential, `name:value` pairs
            joined by commas, and never reaches the model.
        credentials: Secrets of a DIALOG_OPTION by name; kept as `SecretStr`, never shown to the
            model. JSON of the answer has dots in their place, unless it is dumped with
            `context={"reveal_credentials": True}` to be sent to where the agent runs.
        content: Values by field, where the request has a `response_schema`, instead of `answer`
            or `decision`. They go to the tool that asked, and to nobody else.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        validate_assignment=True, hide_input_in_errors=True
    )

    interaction_id: str
    response_type: HumanInteractionType
    decision: str | None = None
    answer: str | None = Field(default=None, repr=False)  # people write credentials into it
    dialog_option_id: str | None = None
    additional_context: str = Field(default="", repr=False)
    credentials: Mapping[str, str | SecretStr] = Field(default_factory=dict[str, str | SecretStr])
    content: dict[str, Any] | None = Field(default=None, repr=False)  # Any: JSON

    @field_validator("credentials")
    @classmethod
    def _hidden(cls, value: Mapping[str, str | SecretStr]) -> dict[str, str | SecretStr]:
        hidden = {k: SecretStr(v) if isinstance(v, str) else v for k, v in value.items()}
        if any(secret.get_secret_value() == _MASK for secret in hidden.values()):
            raise ValueError(
                "holds the dots that stand for a secret; dump the answer with "
                'context={"reveal_credentials": True}'
            )
        return dict(hidden)

    @field_serializer("credentials", when_used="json")
    def _masked(
        self, value: Mapping[str, str | SecretStr], info: FieldSerializationInfo
    ) -> dict[str, str]:
        reveal = bool(info.context and info.context.get("reveal_credentials"))
        return {
            k: v.get_secret_value() if reveal and isinstance(v, SecretStr) else _MASK
            for k, v in value.items()
        }


class HumanInLoopResponseBatch(BaseModel):
    """Several answers at once."""

    responses: list[HumanInLoopResponse]

    def get_response_by_id(self, interaction_id: str) -> HumanInLoopResponse | None:
        """Return the answer to one request.

        Args:
            interaction_id: Id of the request.

        Returns:
            The answer, or None if the batch has none to it.
        """
        return next((r for r in self.responses if r.interaction_id == interaction_id), None)


class Question(BaseModel):
    """An open question under a short key.

    Attributes:
        key: A letter, then letters, digits and underscores; other characters are replaced.
    """

    question: str
    key: str
    required: bool = True

    @field_validator("key")
    @classmethod
    def _as_identifier(cls, value: str) -> str:
        key = re.sub(r"[^A-Za-z0-9_]+", "_", value).strip("_") or "key"
        return key if key[0].isalpha() else f"key_{key}"


class QuestionList(BaseModel):
    """Open questions."""

    questions: list[Question] = Field(default_factory=list[Question])


class Answer(BaseModel):
    """The answer to a `Question`."""

    key: str
    answer: str


class AnswerList(BaseModel):
    """Answers to `Question`s."""

    answers: list[Answer] = Field(default_factory=list[Answer])
