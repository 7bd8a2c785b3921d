"""Roots: how directories become what servers are told."""

import logging
from pathlib import Path
from typing import Any

import pytest

from mbxai.errors import ConfigurationError
from mbxai.mcp._roots import roots_source

HERE = [{"uri": "file:///srv/my%20data", "name": "my data"}]


async def coroutine() -> list[str]:
    return ["/srv/my data"]


@pytest.mark.parametrize(
    "roots",
    [
        ["/srv/my data"],
        [Path("/srv/my data")],
        ["file:///srv/my%20data"],
        ["/srv/x/../my data", Path("/srv/my data")],
        lambda: ["/srv/my data"],
        coroutine,
        lambda: coroutine(),  # noqa: PLW0108  # not async itself
    ],
)
async def test_paths_and_uris_and_functions_that_give_them_are_roots(roots: Any) -> None:
    assert await roots_source(roots)() == HERE


async def test_a_relative_path_and_the_home_directory_become_whole_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))

    told = await roots_source([".", "~/notes"])()

    assert [root["uri"] for root in told] == [
        tmp_path.as_uri(),
        (tmp_path / "me" / "notes").as_uri(),
    ]


@pytest.mark.parametrize(
    "roots", ["/srv", Path("/srv"), ["https://a.b/c"], ["file://host/c"], [""], [5], 5]
)
def test_what_cannot_be_a_root_is_said_at_once(roots: Any) -> None:
    with pytest.raises(ConfigurationError, match="root"):
        roots_source(roots)


async def test_a_function_that_fails_tells_of_no_roots_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing() -> list[str]:
        raise OSError("disk")

    with caplog.at_level(logging.ERROR, "mbxai"):
        assert await roots_source(failing)() == []

    assert "disk" in caplog.text
