import pytest

from mbxai.errors import OpenRouterConfigurationError
from mbxai.openrouter import (
    AsyncOpenRouterClient,
    OpenRouterClient,
    OpenRouterConfig,
    OpenRouterModel,
    OpenRouterModelRegistry,
)
from mbxai.openrouter.client import OpenRouterModel as OpenRouterModelAgain

KEY = "sk-or-v1-models"


def test_models_are_strings_with_the_vendors_of_today():
    assert OpenRouterModelAgain is OpenRouterModel
    assert OpenRouterModel.GPT41 == "openai/gpt-4.1"
    assert str(OpenRouterModel.GPT41) == "openai/gpt-4.1"
    assert OpenRouterModel.MIXTRAL_8X7B.value == "mistralai/mixtral-8x7b"


@pytest.mark.parametrize(
    ("given", "slug"),
    [
        (OpenRouterModel.GPT4, "openai/gpt-4"),
        ("GPT4", "openai/gpt-4"),
        ("openai/gpt-4:free", "openai/gpt-4:free"),
        ("@preset/mine", "@preset/mine"),
        ("openai/gpt-4@preset/mine", "openai/gpt-4@preset/mine"),
    ],
)
def test_a_model_is_a_member_a_name_or_a_slug(given, slug):
    assert AsyncOpenRouterClient(KEY, given).model == slug


def test_a_registered_name_works_for_every_client():
    OpenRouterClient.register_model("my-model", "me/model")
    AsyncOpenRouterClient.register_model("my-model", "me/model")
    assert OpenRouterModelRegistry.get_model("my-model") == "me/model"
    assert OpenRouterClient.list_models()["my-model"] == "me/model"
    client = OpenRouterClient(KEY)
    client.model = "my-model"
    assert (client.model, client.config.model) == ("me/model", "me/model")
    with pytest.raises(ValueError, match="stands for 'me/model' already"):
        OpenRouterClient.register_model("my-model", "me/other")
    with pytest.raises(ValueError, match="stands for 'openai/gpt-4' already"):
        OpenRouterClient.register_model("GPT4", "me/other")


def test_an_unknown_name_tells_the_known_ones():
    with pytest.raises(
        OpenRouterConfigurationError, match=r"Unknown model alias 'gpt4'.*GPT35_TURBO"
    ):
        AsyncOpenRouterClient(KEY, "gpt4")
    with pytest.raises(ValueError, match="Unknown model alias"):
        OpenRouterModelRegistry.get_model("openai/gpt-4")


def test_the_environment_names_a_model_and_an_argument_beats_it(monkeypatch):
    assert AsyncOpenRouterClient(KEY).model == OpenRouterModel.GPT35_TURBO
    monkeypatch.setenv("OPENROUTER_MODEL", "env/model")
    assert AsyncOpenRouterClient(KEY).model == "env/model"
    assert AsyncOpenRouterClient(KEY, "arg/model").model == "arg/model"


def test_the_config_hides_the_key_and_normalises_the_address():
    config = OpenRouterConfig(token=KEY, base_url="https://example.com/v1")
    assert config.base_url == "https://example.com/v1/"
    assert config.model == OpenRouterModel.GPT4_TURBO
    assert KEY not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_retries": -1},
        {"retry_initial_delay": -0.5},
        {"default_headers": {"X-A": "a\nb"}},
        {"default_headers": {"X A": "b"}},
        {"default_headers": {"X-A": 5}},
        {"base_url": "http://example.com"},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(OpenRouterConfigurationError):
        AsyncOpenRouterClient(KEY, **wrong)


def test_clients_do_not_print_the_key():
    assert KEY not in f"{AsyncOpenRouterClient(KEY)!r} {OpenRouterClient(KEY)!r}"
