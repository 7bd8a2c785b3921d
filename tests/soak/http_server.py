"""A hand-written server over HTTP in a process of its own: `http_server.py PORT WORD ...`.

Streamable HTTP is at `/mcp`, the older SSE at `/sse`; for the words see `mcp_modern_fault_server`.
"""

import asyncio
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from support.mcp_http_fault_server import Site  # noqa: E402


async def main() -> None:
    site = Site(*sys.argv[2:])
    site.port = int(sys.argv[1])
    await site.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
