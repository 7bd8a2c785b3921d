"""`python -m mbxai.testing`: the fake OpenRouter in the foreground."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Final

from mbxai.testing._server import BASE_PATH, FakeServer, ServerSettings

_ORPHAN_CHECK_SECONDS: Final = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C, or until the parent goes if one is announced.

    Args:
        arguments: Command line; None takes the process's own.

    Returns:
        The process's exit status: 1 if the port is taken.
    """
    parser = argparse.ArgumentParser("python -m mbxai.testing", description="A fake OpenRouter.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port (default)")
    parser.add_argument("--model", default="fake/model", help="answers where none is named")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--chunk-delay", type=float, default=0.0, help="seconds between chunks")
    parser.add_argument("--with-parent", action="store_true", help="exit when stdin closes")
    options = parser.parse_args(arguments)
    settings = ServerSettings(
        model=options.model, latency=options.latency, chunk_delay=options.chunk_delay
    )
    try:
        # A program of its own, not library code: here is where its loop starts.
        asyncio.run(  # noqa: TID251
            _serve(settings, port=options.port, with_parent=options.with_parent)
        )
    except OSError as error:
        sys.stderr.write(f"The fake OpenRouter could not listen on port {options.port}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(settings: ServerSettings, *, port: int, with_parent: bool) -> None:
    # Before anybody can know of this server, and kill who started it.
    parent = os.getppid()
    fake = FakeServer(settings)
    server = await fake.start(port)
    number = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{number}{BASE_PATH}\n")
    sys.stdout.flush()
    over = asyncio.Event()
    if with_parent:
        _watch_parent(parent, over)
    await over.wait()
    server.close()
    await fake.stop()


def _watch_parent(parent: int, over: asyncio.Event) -> None:
    """Set the event when the parent closes our stdin, or is gone.

    A fork of the parent may hold the pipe open after the parent's death, hence the second sign.
    """
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            over.set()

    def check() -> None:
        if os.getppid() != parent:
            over.set()
        else:
            loop.call_later(_ORPHAN_CHECK_SECONDS, check)

    loop.add_reader(0, read)
    check()


if __name__ == "__main__":
    sys.exit(main())
