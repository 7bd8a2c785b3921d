import pytest

from mbxai._settings import DEFAULT_BASE_URL, openrouter_settings
from mbxai.errors import ConfigurationError, OpenRouterConfigurationError, OpenRouterError

KEY = "sk-or-v1-settings"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("OPENROUTER_API_KEY", "OPENROUTER_BASE_URL", "OPENROUTER_MODEL"):
        monkeypatch.delenv(name, raising=False)


def test_the_environment_is_read_when_asked(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_BASE_URL", "http://localhost:8000/api/v1")
    monkeypatch.setenv("OPENROUTER_MODEL", "openai/gpt-4.1")
    settings = openrouter_settings()
    assert settings.token.get_secret_value() == KEY
    assert settings.base_url == "http://localhost:8000/api/v1/"
    assert settings.model == "openai/gpt-4.1"


def test_an_argument_beats_the_environment(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "other-key")
    monkeypatch.setenv("OPENROUTER_BASE_URL", "https://other.example/")
    monkeypatch.setenv("OPENROUTER_MODEL", "other/model")
    settings = openrouter_settings(KEY, "https://example.com/v1", "a/b")
    assert settings.token.get_secret_value() == KEY
    assert (settings.base_url, settings.model) == ("https://example.com/v1/", "a/b")


def test_without_anything_else_openrouter_itself_is_asked():
    assert openrouter_settings(KEY).base_url == DEFAULT_BASE_URL == "https://openrouter.ai/api/v1/"


@pytest.mark.parametrize("token", [None, "", "  ", "\n"])
def test_a_missing_key_says_where_to_set_one(token):
    with pytest.raises(OpenRouterConfigurationError, match="OPENROUTER_API_KEY or pass token="):
        openrouter_settings(token)


@pytest.mark.parametrize(
    "token", ["sk-or canary", "canary\n", "canary\r\nX: y", "\u201ccanary\u201d", "can\0ary"]
)
def test_a_key_that_cannot_be_one_is_refused_without_repeating_it(token):
    with pytest.raises(OpenRouterConfigurationError) as caught:
        openrouter_settings(token)
    assert "canary" not in str(caught.value)


def test_a_configuration_error_is_a_value_error_and_an_openrouter_error():
    with pytest.raises(ValueError, match="no OpenRouter API key") as caught:
        openrouter_settings("")
    assert isinstance(caught.value, OpenRouterError)
    assert isinstance(caught.value, ConfigurationError)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://openrouter.ai/api/v1",
        "http://localhost.evil.com/",
        "http://127.0.0.1.nip.io/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "ftp://localhost/",
        "openrouter.ai",
        "https://",
        "https://user:pass@example.com/",
        "https://example.com/?key=1",
        "https://example.com:99999/",
        "http://[::1/",
    ],
)
def test_an_address_that_is_none_or_in_the_clear_is_refused(base_url):
    with pytest.raises(OpenRouterConfigurationError):
        openrouter_settings(KEY, base_url)


@pytest.mark.parametrize(
    "base_url", ["http://localhost:1/", "http://127.8.9.1/x", "http://[::1]:80/", "https://a.b/c/"]
)
def test_https_and_this_machine_are_allowed(base_url):
    assert openrouter_settings(KEY, base_url).base_url.endswith("/")


def test_the_key_is_not_printed():
    assert KEY not in repr(openrouter_settings(KEY))


@pytest.mark.parametrize("name", ["token", "base_url", "model"])
@pytest.mark.parametrize("value", [5, 0, b"https://a.b/", ["a/b"]])
def test_a_setting_that_is_no_text_is_refused_by_name(name, value):
    with pytest.raises(OpenRouterConfigurationError, match=f"^{name} must be text"):
        openrouter_settings(**{"token": KEY, name: value})
