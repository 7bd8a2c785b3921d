"""A pytest fixture; switch it on with `pytest_plugins = ["mbxai.testing.pytest_plugin"]`."""

from collections.abc import Iterator

import pytest

from mbxai.testing._fake import FakeOpenRouter


@pytest.fixture
def fake_openrouter(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenRouter]:
    """A running fake OpenRouter to which the environment leads; its script is checked at the end.

    Yields:
        The server, in automatic mode until the test gives it a script.
    """
    with FakeOpenRouter() as fake:
        for name, value in fake.env().items():
            monkeypatch.setenv(name, value)
        yield fake
        fake.verify()
