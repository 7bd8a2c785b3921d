"""The root of the family, and what belongs to no part of it."""


def _rebuild(cls: type["MBXAIError"], message: str, state: dict[str, object]) -> "MBXAIError":
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class MBXAIError(Exception):
    """Root of every error that mbxai raises.

    Attributes:
        message: What happened.
        hint: What to do about it; empty when there is nothing to add.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message and the advice.

        Args:
            message: What happened, without a secret.
            hint: What the caller can do.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """What happened, then what to do."""
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by message and attributes, so that keyword-only arguments survive."""
        return _rebuild, (type(self), self.message, dict(self.__dict__))


class ConfigurationError(MBXAIError, ValueError):
    """A setting or an argument is missing, unknown or impossible."""


class BlockingCallError(MBXAIError, RuntimeError):
    """A blocking call was made on the thread that would have to answer it."""


class LocalModelError(MBXAIError):
    """The local model could not be started or stopped answering."""


class MBXAIWarning(UserWarning):
    """Root of the warnings of mbxai."""


class RunningLoopWarning(MBXAIWarning):
    """A blocking call was made where an event loop runs; it blocks that loop."""
