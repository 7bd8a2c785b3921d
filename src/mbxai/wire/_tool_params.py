"""Tools of a request: functions, OpenRouter's own server tools, and how they are chosen.

Fields as of the published schema of 2026-10-27.
"""

# Words that OpenRouter knows today, for an editor to offer; `str` stands beside them because the
# sets are open. The linter calls that redundant.
# ruff: noqa: PYI051

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

from mbxai.wire._output_params import ReasoningEffort
from mbxai.wire._plugins import UserLocation, WebSearchEngine, WebSearchMode, XSearchOptions
from mbxai.wire._routing import CacheControl

# Any in this file: JSON Schemas and parameters of nested tools are open JSON of the wire.


class FunctionParams(TypedDict, total=False):
    """A function as a model sees it.

    Attributes:
        name: 1 to 64 letters, digits, `_` and `-`.
        description: What it does and when to call it.
        parameters: JSON Schema of the arguments.
        strict: Whether arguments must fit the schema exactly.
        defer_loading: Whether the model finds it by search only; see `DeferredToolsParams`.
    """

    name: Required[str]
    description: str
    parameters: Mapping[str, Any]
    strict: bool | None
    defer_loading: bool


class FunctionToolParam(TypedDict, total=False):
    """A function that the caller runs.

    Attributes:
        eager_input_streaming: Stream arguments as they are written (Anthropic).
    """

    type: Required[Literal["function"]]
    function: Required[FunctionParams]
    cache_control: CacheControl
    defer_loading: bool
    eager_input_streaming: bool


class ServerReasoning(TypedDict, total=False):
    """How much the model behind a server tool thinks; one of the two."""

    effort: ReasoningEffort
    max_tokens: int


class WebSearchSettings(TypedDict, total=False):
    """How `openrouter:web_search` searches."""

    engine: WebSearchEngine
    mode: WebSearchMode
    search_context_size: Literal["low", "medium", "high"] | str
    max_results: int
    max_total_results: int
    max_characters: int
    max_uses: int
    allowed_domains: Sequence[str]
    excluded_domains: Sequence[str]
    user_location: UserLocation
    x_search: XSearchOptions


class WebSearchTool(TypedDict, total=False):
    """The model may search the web."""

    type: Required[Literal["openrouter:web_search"]]
    parameters: WebSearchSettings


class WebSearchShorthand(WebSearchSettings, total=False):
    """A web search in OpenAI's words; OpenRouter takes it for `openrouter:web_search`."""

    type: Required[
        Literal[
            "web_search",
            "web_search_preview",
            "web_search_preview_2025_03_11",
            "web_search_2025_08_26",
        ]
    ]
    parameters: WebSearchSettings


class WebFetchSettings(TypedDict, total=False):
    """How `openrouter:web_fetch` fetches."""

    engine: Literal["auto", "native", "openrouter", "exa", "parallel", "firecrawl"] | str
    allowed_domains: Sequence[str]
    blocked_domains: Sequence[str]
    max_content_tokens: int
    max_uses: int


class WebFetchTool(TypedDict, total=False):
    """The model may fetch pages."""

    type: Required[Literal["openrouter:web_fetch"]]
    parameters: WebFetchSettings


class DatetimeSettings(TypedDict, total=False):
    """In which time zone the time is told, for example `Europe/Berlin`."""

    timezone: str


class DatetimeTool(TypedDict, total=False):
    """The model may ask for the time."""

    type: Required[Literal["openrouter:datetime"]]
    parameters: DatetimeSettings


class ImageGenerationTool(TypedDict, total=False):
    """The model may draw; `parameters` names the image model and its options."""

    type: Required[Literal["openrouter:image_generation"]]
    parameters: Mapping[str, Any]


class AdvisorSettings(TypedDict, total=False):
    """Which model advises, and what it is told."""

    model: str
    name: str
    instructions: str
    forward_transcript: bool
    max_completion_tokens: int
    reasoning: ServerReasoning
    stream: bool
    temperature: float


class AdvisorTool(TypedDict, total=False):
    """The model may ask another model for advice."""

    type: Required[Literal["openrouter:advisor"]]
    parameters: AdvisorSettings


class SubagentSettings(TypedDict, total=False):
    """Which model does delegated work, with which tools."""

    model: str
    name: str
    instructions: str
    inherit_functions: bool
    inherited_function_names: Sequence[str]
    max_completion_tokens: int
    max_tool_calls: int
    reasoning: ServerReasoning
    temperature: float
    tools: Sequence[Mapping[str, Any]]


class SubagentTool(TypedDict, total=False):
    """The model may delegate work to another model."""

    type: Required[Literal["openrouter:subagent"]]
    parameters: SubagentSettings


class FusionSettings(TypedDict, total=False):
    """Which models deliberate, and which one compares their answers."""

    analysis_models: Sequence[str]
    model: str
    cache_control: CacheControl
    max_completion_tokens: int
    max_tool_calls: int
    reasoning: ServerReasoning
    temperature: float
    tools: Sequence[Mapping[str, Any]]


class FusionTool(TypedDict, total=False):
    """The model may have a panel of models deliberate."""

    type: Required[Literal["openrouter:fusion"]]
    parameters: FusionSettings


class FilesTool(TypedDict, total=False):
    """The model may read files of the workspace."""

    type: Required[Literal["openrouter:files"]]
    parameters: Mapping[str, Any]


class BashTool(TypedDict, total=False):
    """The model may run commands in a container; `parameters` says which."""

    type: Required[Literal["openrouter:bash"]]
    parameters: Mapping[str, Any]


class SearchModelsSettings(TypedDict, total=False):
    """How many models a search gives at most."""

    max_results: int


class SearchModelsTool(TypedDict, total=False):
    """The model may search the catalogue of models."""

    type: Required[Literal["openrouter:experimental__search_models"]]
    parameters: SearchModelsSettings


ToolParam: TypeAlias = (
    FunctionToolParam
    | WebSearchTool
    | WebSearchShorthand
    | WebFetchTool
    | DatetimeTool
    | ImageGenerationTool
    | AdvisorTool
    | SubagentTool
    | FusionTool
    | FilesTool
    | BashTool
    | SearchModelsTool
)
"""A function, or a server tool that is known by name."""


class NamedFunction(TypedDict):
    """The function that must be called."""

    name: str


class NamedToolChoice(TypedDict):
    """The model must call this function."""

    type: Literal["function"]
    function: NamedFunction


class ServerToolChoice(TypedDict):
    """The model must call this server tool."""

    type: str


ToolChoice: TypeAlias = (
    Literal["none", "auto", "required"] | str | NamedToolChoice | ServerToolChoice
)
"""Which tools the model may or must call; unless told `auto` with tools, `none` without."""


class StepCountIs(TypedDict):
    """Stop after this many steps."""

    type: Literal["step_count_is"]
    step_count: int


class HasToolCall(TypedDict):
    """Stop when this tool is called."""

    type: Literal["has_tool_call"]
    tool_name: str


class MaxTokensUsed(TypedDict):
    """Stop when this many tokens were used."""

    type: Literal["max_tokens_used"]
    max_tokens: int


class MaxCost(TypedDict):
    """Stop when this much was spent, in USD."""

    type: Literal["max_cost"]
    max_cost_in_dollars: float


class FinishReasonIs(TypedDict):
    """Stop when the model ends for this reason."""

    type: Literal["finish_reason_is"]
    reason: str


StopServerToolsWhen: TypeAlias = (
    StepCountIs | HasToolCall | MaxTokensUsed | MaxCost | FinishReasonIs
)
"""A reason to end the loop of server tools; one that holds is enough."""


class DeferredSearch(TypedDict, total=False):
    """How deferred tools are found.

    Attributes:
        type: Which search; `custom` runs a tool of the caller.
        max_results: How many tools a search gives at most.
        tool_id: The searching tool of a `custom` search.
        result_key: Where its result holds the names.
    """

    type: Required[Literal["bm25", "regex", "custom"] | str]
    max_results: int
    tool_id: str
    result_key: str


class DeferredToolsParams(TypedDict, total=False):
    """Tools with `defer_loading` are not shown to the model until it searches for them.

    The catalogue must stay the same within a conversation.
    """

    protocol: Required[Literal["v1"] | str]
    profile: Required[Literal["portable"] | str]
    search: Required[DeferredSearch]
    validation: Required[Literal["runtime"] | str]
