"""What a client was made with."""

from typing import Annotated, ClassVar, NoReturn, SupportsIndex

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from mbxai._settings import DEFAULT_BASE_URL, checked_base_url
from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter.models import OpenRouterModel

DEFAULT_HEADERS = {"HTTP-Referer": "https://www.mibexx.de", "X-Title": "MBX AI"}
"""What OpenRouter's rankings show where the application does not say who it is."""


class OpenRouterConfig(BaseModel):
    """Settings of an OpenRouter client.

    Attributes:
        token: The API key; prints as stars.
        model: Slug of the model for calls that name none.
        base_url: Address of the API, with a slash at the end.
        default_headers: Headers of every request besides the key.
        max_retries: How often a request is sent again after the first time.
        retry_initial_delay: Seconds before the first retry, at most.
        retry_max_delay: Seconds before any later retry, at most.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, hide_input_in_errors=True)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled, since that would write the key down."""
        raise OpenRouterConfigurationError(
            "A configuration holds the key and is not pickled.",
            hint="Make the client where it is used; OPENROUTER_API_KEY is inherited.",
        )

    token: SecretStr
    model: str = OpenRouterModel.GPT4_TURBO.value
    base_url: Annotated[str, AfterValidator(checked_base_url)] = DEFAULT_BASE_URL
    default_headers: dict[str, str] = Field(default_factory=lambda: dict(DEFAULT_HEADERS))
    max_retries: int = Field(default=3, ge=0)
    retry_initial_delay: float = Field(default=1.0, ge=0)
    retry_max_delay: float = Field(default=10.0, ge=0)
