"""A call that a model makes, and what becomes of one that waits for the application."""

from dataclasses import dataclass
from typing import Any, Literal, cast

import pydantic_core

# Not from the package: errors carry a run with its calls, and the package imports errors.
from mbxai.wire._tools import call_digest


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to run a tool.

    Attributes:
        id: The model's id of the call, unique within a conversation.
        name: Name of the tool.
        arguments: JSON text of an object, as the model wrote it.
    """

    id: str
    name: str
    arguments: str = ""

    @property
    def digest(self) -> str:
        """What the tool and the meaning of the arguments come to; see `call_digest`."""
        return call_digest(self.name, self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolApproval:
    """A person's word on one call. It holds for exactly the tool and the arguments that were shown.

    Attributes:
        call_id: Id of the call.
        digest: The `digest` of the call that was shown.
        approved: Whether it may run.
        reason: What the model is told if it may not.
    """

    call_id: str
    digest: str
    approved: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCall:
    """A call that waits for the application.

    Attributes:
        call: The call, with the arguments that it would be run with.
        reason: "approval" if a person must agree first, "external" if the application runs the
            tool itself.
    """

    call: ToolCall
    reason: Literal["approval", "external"]

    @property
    def arguments(self) -> dict[str, Any]:  # Any: JSON of the wire
        """The arguments as JSON values; those of a call that waits can be read."""
        return cast("dict[str, Any]", pydantic_core.from_json(self.call.arguments or "{}"))

    def approve(self) -> ToolApproval:
        """Return the word that lets the call run; give it to `chat` or `parse` as `approvals`."""
        return ToolApproval(call_id=self.call.id, digest=self.call.digest, approved=True)

    def deny(self, reason: str = "") -> ToolApproval:
        """Return the word that keeps the call from running.

        Args:
            reason: What the model is told.
        """
        return ToolApproval(
            call_id=self.call.id, digest=self.call.digest, approved=False, reason=reason
        )

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from mbxai._notebook import pending_html  # noqa: PLC0415  # only where it is looked at

        return pending_html(self)
