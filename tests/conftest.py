"""What every test gets: a clean environment, and servers on request."""

import os
from collections.abc import Iterator

import pytest
from support import sent_requests, services

sent_requests.watch()


@pytest.fixture(autouse=True)
def _requests_fit_the_published_schema(request: pytest.FixtureRequest) -> Iterator[None]:
    """What clients send is what OpenRouter's document says; tests of the fake send anything."""
    with sent_requests.checked() as problems:
        yield
    if not request.node.path.name.startswith("test_testing_"):
        assert problems == []


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the settings of whoever runs it."""
    for name in os.environ:
        if name.startswith(("OPENROUTER_", "MBXAI_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """The URL of a Redis server."""
    with services.redis_url() as url:
        yield url


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """The URL of a Postgres server."""
    with services.postgres_url() as url:
        yield url


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node.js."""
    return services.node()


@pytest.fixture(scope="session")
def npx() -> str:
    """The path of npx."""
    return services.npx()
