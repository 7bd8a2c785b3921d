"""The inner parts of aiohttp that the engine leans on, since these have no public name."""

import inspect

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (aiohttp.StreamReader, "_read_nowait"),
        (aiohttp.StreamReader, "readany"),
        (aiohttp.BaseConnector, "_get"),
        (aiohttp.BaseConnector, "connect"),
        (ResponseHandler, "connection_lost"),
    ],
)
def test_a_method_that_the_engine_overrides_or_calls_is_there(cls: type, name: str) -> None:
    assert callable(getattr(cls, name, None))


async def test_the_attributes_that_the_engine_reads_are_there() -> None:
    connector = aiohttp.TCPConnector()
    assert callable(connector._factory)
    handler = connector._factory()
    assert hasattr(handler, "_payload")
    await connector.close()


def test_the_step_that_takes_an_idle_connection_has_the_same_arguments() -> None:
    assert list(inspect.signature(aiohttp.BaseConnector._get).parameters) == [
        "self",
        "key",
        "traces",
    ]
