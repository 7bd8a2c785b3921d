"""Options of a request that say what the answer is: reasoning, format, sound, pictures, stream.

Fields as of the published schema of 2026-10-27 and of OpenRouter's documentation, which names more.
"""

# Words that OpenRouter knows today, for an editor to offer; `str` stands beside them because the
# sets are open. The linter calls that redundant.
# ruff: noqa: PYI051

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

from mbxai.wire._plugins import UserLocation

# Any in this file: JSON Schemas are open JSON of the wire.

ReasoningEffort: TypeAlias = (
    Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"] | str
)
"""How much a model thinks; `none` switches thinking off."""

Verbosity: TypeAlias = Literal["low", "medium", "high", "xhigh", "max"] | str
"""How long the answer is; for Anthropic models how much effort it takes."""

Modality: TypeAlias = Literal["text", "image", "audio"] | str
"""A kind of output."""


class ReasoningParams(TypedDict, total=False):
    """How a model thinks, and how much of it is told.

    Attributes:
        effort: How much; not together with `max_tokens`.
        max_tokens: Most tokens for thinking; not together with `effort`.
        enabled: Whether to think at all; follows from the two above unless told.
        exclude: Think, but leave it out of the answer.
        summary: How detailed a summary of the thinking is.
        context: Which turns' thinking is kept.
        mode: `pro` thinks longer.
    """

    effort: ReasoningEffort | None
    max_tokens: int | None
    enabled: bool | None
    exclude: bool | None
    summary: Literal["auto", "concise", "detailed"] | str | None
    context: Literal["auto", "all_turns", "current_turn"] | str | None
    mode: Literal["standard", "pro"] | str | None


class TextFormat(TypedDict):
    """The answer is text, as always."""

    type: Literal["text"]


class JSONObjectFormat(TypedDict):
    """The answer is some JSON object; the prompt must ask for JSON, too."""

    type: Literal["json_object"]


class NamedJSONSchema(TypedDict, total=False):
    """A JSON Schema with a name of at most 64 characters."""

    name: Required[str]
    schema: Mapping[str, Any]
    description: str
    strict: bool | None


class JSONSchemaFormat(TypedDict):
    """The answer is JSON of a schema; validate it all the same."""

    type: Literal["json_schema"]
    json_schema: NamedJSONSchema


class GrammarFormat(TypedDict):
    """The answer follows a grammar."""

    type: Literal["grammar"]
    grammar: str


class PythonFormat(TypedDict):
    """The answer is Python code."""

    type: Literal["python"]


ResponseFormat: TypeAlias = (
    TextFormat | JSONObjectFormat | JSONSchemaFormat | GrammarFormat | PythonFormat
)
"""What the answer's text looks like."""


class AudioParams(TypedDict, total=False):
    """How spoken output sounds; needs `audio` among the modalities, and a stream.

    Attributes:
        voice: Each model has its own.
        format: Encoding of the sound.
    """

    voice: Literal["alloy", "echo", "fable", "onyx", "nova", "shimmer"] | str
    format: Literal["wav", "mp3", "flac", "opus", "pcm16"] | str


class ImageConfig(TypedDict, total=False):
    """How pictures are drawn; further keys depend on the model.

    Attributes:
        aspect_ratio: Width to height, for example `16:9`.
        image_size: `0.5K`, `1K`, `2K` or `4K`.
    """

    aspect_ratio: str
    image_size: Literal["0.5K", "1K", "2K", "4K"] | str


class PredictedText(TypedDict):
    """A part of a predicted answer."""

    type: Literal["text"]
    text: str


class Prediction(TypedDict):
    """What most of the answer will be, for models that are faster with it."""

    type: Literal["content"]
    content: str | Sequence[PredictedText]


class StreamOptions(TypedDict, total=False):
    """Has no effect any more: a stream always ends with its usage."""

    include_usage: bool


class UsageParams(TypedDict, total=False):
    """Has no effect any more: every answer tells its usage."""

    include: bool


class DebugOptions(TypedDict, total=False):
    """Streams only: the first chunk tells the request as the provider got it."""

    echo_upstream_body: bool


class WebSearchOptions(TypedDict, total=False):
    """How models with a search of their own search, in OpenAI's words."""

    search_context_size: Literal["low", "medium", "high"] | str
    user_location: UserLocation | Mapping[str, Any]
