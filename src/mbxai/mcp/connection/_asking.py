"""What a server asks of us in the middle of a call, answered by the callbacks; plain JSON.

A callback is foreign code: what it raises is logged here, and the server learns only that there is
no answer.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from mbxai._redaction import get_logger
from mbxai.mcp.connection._callbacks import Callbacks, RefusedError
from mbxai.mcp.connection._clock import Clocks
from mbxai.wire import ToolAnswer, ToolQuestion

logger = get_logger(__name__)

ELICIT: Final = "elicitation/create"
SAMPLE: Final = "sampling/createMessage"
ROOTS: Final = "roots/list"

_INTERNAL_ERROR: Final = -32603
_NOT_OFFERED: Final = -32601
_CANCELLED: Final = ToolAnswer(action="cancel")


class Asking:
    """Answers one server's requests."""

    def __init__(self, server: str, callbacks: Callbacks, clocks: Clocks) -> None:
        """Take the callbacks.

        Args:
            server: The name the server was registered under.
            callbacks: What it may ask for.
            clocks: All calls to the server; they stand still while it is not known which one asks.
        """
        self.callbacks = callbacks
        self.server = server
        self._clocks = clocks
        self._has_warned = False

    def question(self, params: Mapping[str, Any]) -> ToolQuestion:
        """Return what a person is asked.

        Args:
            params: The parameters of an `elicitation/create` request.
        """
        message = str(params.get("message") or "")
        if params.get("mode") == "url":
            url = str(params.get("url") or "")
            return ToolQuestion(message=message, kind="url", url=url, source=self.server)
        schema: object = params.get("requestedSchema")
        fields: dict[str, Any] = dict(schema) if isinstance(schema, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]
        return ToolQuestion(message=message, schema=fields, source=self.server)

    async def answer(
        self,
        method: str,
        params: Mapping[str, Any],
        pause: AbstractContextManager[None] | None = None,
    ) -> dict[str, Any]:
        """Answer a request of the server.

        Args:
            method: What it asks for.
            params: The request's parameters.
            pause: Stops the clock of the call that asks; None stops all of them.

        Returns:
            The result.

        Raises:
            RefusedError: There is none; its code and message are for the server.
        """
        with self._clocks.waiting() if pause is None else pause:
            if method == ELICIT:
                return elicited(await self.ask(self.question(params)))
            if method == SAMPLE and self.callbacks.sample is not None:
                return await self._contained(method, self.callbacks.sample(params))
            if method == ROOTS and self.callbacks.roots is not None:
                roots = await self._contained(method, self.callbacks.roots())
                return {"roots": [dict(root) for root in roots]}
        raise RefusedError(
            f"{method} is not supported by this client", code=_NOT_OFFERED, server=self.server
        )

    async def ask(self, question: ToolQuestion) -> ToolAnswer:
        """Ask a person; where nobody can be asked, or asking fails, the answer is "cancel"."""
        elicit = self.callbacks.elicit
        if elicit is None:
            if not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "MCP server %s wants to ask a person; nobody is there, so it is told that the"
                    " question was cancelled. Give elicit= to have it answered.",
                    self.server,
                )
            return _CANCELLED
        try:
            return await elicit(question)
        except Exception:
            logger.exception("Asking a person for MCP server %s failed", self.server)
            return _CANCELLED

    async def _contained(self, method: str, work: Any) -> Any:
        try:
            return await work
        except RefusedError:
            raise
        except Exception as error:
            logger.exception("%s of MCP server %s could not be answered", method, self.server)
            raise RefusedError(
                "The client could not answer.", code=_INTERNAL_ERROR, server=self.server
            ) from error

    def log(self, level: str, name: str, data: object) -> None:
        """Pass a log message of the server on."""
        if self.callbacks.log is None:
            return
        try:
            self.callbacks.log(level, name, data)
        except Exception:
            logger.exception("A log message of MCP server %s could not be taken", self.server)


def elicited(answer: ToolAnswer) -> dict[str, Any]:
    """Return a person's answer as the protocol writes it.

    Args:
        answer: The answer; only one that was accepted has content.
    """
    if answer.action != "accept" or not answer.content:
        return {"action": answer.action}
    return {"action": "accept", "content": dict(answer.content)}
