"""The package's callbacks, made of ours: its types become JSON on the way in and out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mbxai._redaction import get_logger
from mbxai.mcp.connection._asking import ELICIT, ROOTS, SAMPLE, Asking, elicited
from mbxai.mcp.connection._callbacks import RefusedError
from mbxai.mcp.connection._held import HeldCalls
from mbxai.mcp.connection._info import Change
from mbxai.mcp.connection._watch import current_call

if TYPE_CHECKING:  # slow to load
    from mcp_types import ErrorData

logger = get_logger(__name__)

_CHANGES: Final = {
    "notifications/tools/list_changed": "tools",
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
    "notifications/resources/updated": "resource",
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What one connection does with what the server sends by itself.

    Attributes:
        asking: Answers its requests.
        held: Calls whose callers fetch the answers of people.
        on_change: Is told of changes.
    """

    asking: Asking
    held: HeldCalls
    on_change: Callable[[Change], object]

    @property
    def log_level(self) -> str | None:
        """From which level on the server is to log."""
        return self.asking.callbacks.log_level

    async def elicit(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer a question of the older protocol: by the call's own caller if that can be."""
        note = current_call.get()
        call = self.held.asker(note)
        if call is not None:
            return elicited(await call.ask(self.asking.question(params)))
        if note is None and not self.held.is_empty and self.asking.callbacks.elicit is None:
            logger.warning(
                "MCP server %s asks a person while several calls run, and does not say in which of"
                " them; it is told that the question was cancelled. Give elicit= to have it"
                " answered, or make one call at a time.",
                self.asking.server,
            )
            return {"action": "cancel"}
        return await self.answer(ELICIT, params)

    async def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answer a request by the callbacks; the call that asks stands still meanwhile.

        Raises:
            RefusedError: There is no answer.
        """
        note = current_call.get()
        # Where it is not known which call asks, all of them stand still.
        pause = note.pause() if note is not None and note.pause is not None else None
        return await self.asking.answer(method, params, pause)


def client_callbacks(answers: Answers) -> dict[str, Any]:
    """Return the callback arguments of the package's client.

    A callback that is given is a capability that is declared.
    """
    callbacks = answers.asking.callbacks
    given: dict[str, Any] = {
        "elicitation_callback": _elicitation(answers),
        "message_handler": _notifications(answers),
        "logging_callback": _logging(answers),
    }
    if callbacks.sample is not None:
        given["sampling_callback"] = _sampling(answers)
    if callbacks.roots is not None:
        given["list_roots_callback"] = _roots(answers)
    return given


def _elicitation(answers: Answers) -> Any:
    from mcp_types import ElicitResult

    async def elicit(context: object, params: Any) -> "ElicitResult | ErrorData":
        del context
        answer = await answers.elicit(_json(params))
        try:
            return ElicitResult.model_validate(answer)
        except ValueError:
            logger.warning(
                "A person's answer to MCP server %s has values that no form can hold; the server is"
                " told that the question was cancelled",
                answers.asking.server,
            )
            return ElicitResult(action="cancel")

    return elicit


def _sampling(answers: Answers) -> Any:
    from mcp_types import CreateMessageResult, CreateMessageResultWithTools

    async def sample(context: object, params: Any) -> Any:
        del context
        asked = _json(params)
        try:
            answer = await answers.answer(SAMPLE, asked)
            kind = CreateMessageResultWithTools if asked.get("tools") else CreateMessageResult
            return kind.model_validate(answer)
        except RefusedError as error:
            return _refusal(error.code, str(error))
        except ValueError:
            logger.exception("The answer to a sampling request is none of the protocol")
            return _refusal(-32603, "The client could not answer.")

    return sample


def _roots(answers: Answers) -> Any:
    from mcp_types import ListRootsResult

    async def list_roots(context: object) -> Any:
        del context
        try:
            return ListRootsResult.model_validate(await answers.answer(ROOTS, {}))
        except RefusedError as error:
            return _refusal(error.code, str(error))
        except ValueError:
            logger.exception("The roots for MCP server %s are malformed", answers.asking.server)
            return _refusal(-32603, "The client could not answer.")

    return list_roots


def _notifications(answers: Answers) -> Any:
    async def handle(message: Any) -> None:
        kind: Any = _CHANGES.get(getattr(message, "method", ""))
        if kind is not None:
            uri = str(message.params.uri) if kind == "resource" else ""
            answers.on_change(Change(kind, uri))

    return handle


def _logging(answers: Answers) -> Any:
    async def log(params: Any) -> None:
        answers.asking.log(str(params.level), params.logger or "", params.data)

    return log


def _json(model: Any) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


def _refusal(code: int, message: str) -> "ErrorData":
    from mcp_types import ErrorData

    return ErrorData(code=code, message=message)
