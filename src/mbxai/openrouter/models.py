"""Models by name: a few that every README knows, and those that a program registers."""

import threading
from enum import StrEnum
from typing import ClassVar, cast

from mbxai.errors import OpenRouterConfigurationError


class OpenRouterModel(StrEnum):
    """Model slugs that come with the SDK; any other slug may be given as a string."""

    GPT4_TURBO = "openai/gpt-4-turbo-preview"
    GPT4 = "openai/gpt-4"
    GPT41 = "openai/gpt-4.1"
    GPT35_TURBO = "openai/gpt-3.5-turbo"
    CLAUDE_3_OPUS = "anthropic/claude-3-opus"
    CLAUDE_3_SONNET = "anthropic/claude-3-sonnet"
    CLAUDE_3_HAIKU = "anthropic/claude-3-haiku"
    GEMINI_PRO = "google/gemini-pro"
    MIXTRAL_8X7B = "mistralai/mixtral-8x7b"
    MISTRAL_MEDIUM = "mistralai/mistral-medium"
    MISTRAL_SMALL = "mistralai/mistral-small"
    MISTRAL_TINY = "mistralai/mistral-tiny"


class OpenRouterModelRegistry:
    """Names for models, shared by all clients of the process."""

    _lock: ClassVar[threading.Lock] = threading.Lock()  # guards _custom
    _custom: ClassVar[dict[str, str]] = {}

    @classmethod
    def register_model(cls, name: str, value: str) -> None:
        """Give a model a name.

        Args:
            name: The new name; registering the same value again changes nothing.
            value: The slug, for example `openai/gpt-4.1`.

        Raises:
            OpenRouterConfigurationError: Also a `ValueError`. The name stands for another model,
                or one of both is empty.
        """
        for part, given in (("name", name), ("value", value)):
            if not isinstance(cast("object", given), str):
                raise OpenRouterConfigurationError(
                    f"{part} must be text, not of type {type(given).__name__}."
                )
        if not name or not value:
            raise OpenRouterConfigurationError("A model needs a name and a slug.")
        with cls._lock:
            known = cls.list_models().get(name)
            if known is not None and known != value:
                raise OpenRouterConfigurationError(
                    f"The model name {name!r} stands for {known!r} already."
                )
            if name not in OpenRouterModel.__members__:
                cls._custom[name] = value

    @classmethod
    def get_model(cls, name: str) -> str:
        """Return the slug behind a name.

        Args:
            name: Name of an `OpenRouterModel` member (`GPT41`) or a registered name.

        Raises:
            OpenRouterConfigurationError: Also a `ValueError`. Nothing has this name.
        """
        slug = cls.list_models().get(name)
        if slug is None:
            known = ", ".join(sorted(cls.list_models()))
            raise OpenRouterConfigurationError(
                f"Unknown model alias {name!r}.",
                hint=f"Use a slug such as 'openai/gpt-4.1', or one of: {known}.",
            )
        return slug

    @classmethod
    def list_models(cls) -> dict[str, str]:
        """Return every name with its slug, the built-in ones first."""
        return {member.name: member.value for member in OpenRouterModel} | cls._custom


def model_slug(model: str) -> str:
    """Return the slug to send for what a caller gave.

    Args:
        model: An `OpenRouterModel`, a slug (anything with a slash, suffixes such as `:free`
            included) or a name that the registry knows.

    Raises:
        OpenRouterConfigurationError: The text is neither, or no text.
    """
    if isinstance(model, OpenRouterModel):
        return model.value
    if not isinstance(cast("object", model), str):
        raise OpenRouterConfigurationError(
            f"model must be text, not of type {type(model).__name__}.",
            hint="Use a slug such as 'openai/gpt-4.1', or an OpenRouterModel.",
        )
    return model if "/" in model else OpenRouterModelRegistry.get_model(model)
