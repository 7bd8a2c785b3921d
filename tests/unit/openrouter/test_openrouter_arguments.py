import pytest

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter import AsyncOpenRouterClient, OpenRouterClient
from mbxai.openrouter.client import with_retry

KEY = "sk-or-v1-arguments"
USER = [{"role": "user", "content": "hi"}]
NAN = float("nan")
DELAYS = [-1, -0.1, "x", "1", None, True, NAN, float("inf"), [1]]

WRONG = [
    *(("token", value) for value in (5, b"key")),
    *(("base_url", value) for value in (5, b"https://a.b/")),
    *(("model", value) for value in (5, 0, ["a/b"])),
    *(("default_headers", value) for value in (5, 0, "x", [("a", "b")])),
    ("default_params", 5),
    *(("max_retries", value) for value in (-1, "x", "3", 1.5, True, None)),
    *(("retry_initial_delay", value) for value in DELAYS),
    *(("retry_max_delay", value) for value in DELAYS),
    *(("timeout", value) for value in ("x", "5", 0, -1, True, NAN)),
]


@pytest.mark.parametrize("kind", [AsyncOpenRouterClient, OpenRouterClient])
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_an_argument_of_the_wrong_type_is_refused_by_name(kind, name, value):
    with pytest.raises(OpenRouterConfigurationError, match=f"^{name} must be "):
        kind(**{"token": KEY, name: value})


def test_a_header_whose_name_is_no_text_is_refused():
    with pytest.raises(OpenRouterConfigurationError, match="5 is no name of a header"):
        AsyncOpenRouterClient(KEY, default_headers={5: "x"})


async def test_a_model_that_is_no_text_is_refused_wherever_it_is_given():
    client = AsyncOpenRouterClient(KEY, "a/b")
    with pytest.raises(OpenRouterConfigurationError, match=r"^model must be text"):
        client.set_model(5)
    with pytest.raises(OpenRouterConfigurationError, match=r"^model must be text"):
        client.model = None
    for value in (5, 0, ["a/b"]):
        with pytest.raises(OpenRouterConfigurationError, match=r"^model must be text"):
            await client.create(USER, model=value)
    with pytest.raises(OpenRouterConfigurationError, match=r"^value must be text"):
        client.register_model("MINE", 5)
    assert client.model == "a/b"


@pytest.mark.parametrize("value", [0, 3, 2**40])
def test_numbers_that_make_sense_are_taken(value):
    client = AsyncOpenRouterClient(
        KEY, max_retries=value, retry_initial_delay=value, retry_max_delay=value, timeout=None
    )
    assert client.config.max_retries == value


@pytest.mark.parametrize("name", ["max_retries", "retry_initial_delay", "retry_max_delay"])
@pytest.mark.parametrize("value", ["x", -1])
def test_the_decorator_checks_its_arguments_too(name, value):
    with pytest.raises(OpenRouterConfigurationError, match=f"^{name} must be "):
        with_retry(**{name: value})
