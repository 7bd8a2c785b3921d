"""The quick-start notebook in a real Jupyter kernel, and interrupts of that kernel."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mbxai.testing import Auto, FakeOpenRouter, Stall

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"
SECONDS = 20  # that one cell may take on a busy machine

SHOWN = {
    "ask": ("Fake answer to: What is the capital of France?", "openai/gpt-4.1-mini", "18 tokens"),
    "await": ("Fake answer to: And of Peru?",),
    "typed": ("&quot;people&quot;: 1",),
    "tools": ("get_weather answered: Example city: sunny", "1 tool round", "<td"),
    "agent": ("completed", "✓\N{NO-BREAK SPACE}answer", "✓ completed", "1 tool call", "USD"),
    "response": ("goal reached, 100 %", "&quot;summary&quot;: &quot;Example summary&quot;"),
    "plan": ("<table>", "Example title"),
    "async-agent": ("completed", "✓\N{NO-BREAK SPACE}answer"),
    "sessions": ("1 session", "agt_"),
    "next-turn": ("completed", "&quot;stops&quot;"),
}

CLIENTS = """
from mbxai import AgentClient, AsyncAgentClient, AsyncOpenRouterClient, OpenRouterClient, Result
from mbxai.notebook import show_progress
options = dict(token="key", base_url={url!r}, model="openai/gpt-4.1")
client, async_client = OpenRouterClient(**options), AsyncOpenRouterClient(**options)
agent, async_agent = AgentClient(client), AsyncAgentClient(async_client)
"""

# What runs while the kernel is interrupted, and how that is told. In a cell that awaits, Jupyter
# cancels the coroutine.
INTERRUPTED = {
    'client.create([{"role": "user", "content": "hi"}])': "KeyboardInterrupt",
    'show_progress(agent.stream("hi", Result))': "KeyboardInterrupt",
    'await show_progress(async_agent.stream("hi", Result))': "CancelledError",
}


class Kernel:
    """A running kernel with a notebook."""

    def __init__(self, notebook: Any) -> None:
        self._cells = notebook.cells
        self._client = nbclient.NotebookClient(notebook, timeout=SECONDS, allow_errors=True)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._client.async_setup_kernel(cleanup_kc=True):
            yield

    async def run(self, cell: Any) -> list[Any]:
        if cell not in self._cells:
            self._cells.append(cell)
        await self._client.async_execute_cell(cell, self._cells.index(cell))
        return cell.outputs

    async def interrupt(self) -> None:
        await self._client.km.interrupt_kernel()


def code(source: str) -> Any:
    return nbformat.v4.new_code_cell(source)


def html_of(outputs: list[Any]) -> str:
    return "".join(output.get("data", {}).get("text/html", "") for output in outputs)


def test_the_notebook_is_stored_without_outputs_and_with_stable_ids():
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in codes if cell.outputs or cell.execution_count] == []
    assert {cell.id for cell in codes} >= SHOWN.keys()
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


async def test_the_quickstart_runs_in_jupyter_and_an_interrupt_stops_what_runs():
    logging.getLogger("traitlets").setLevel(logging.ERROR)
    notebook = nbformat.read(NOTEBOOK, 4)
    kernel = Kernel(notebook)
    with FakeOpenRouter() as fake:
        async with kernel.running():
            for cell in [cell for cell in notebook.cells if cell.cell_type == "code"]:
                outputs = await kernel.run(cell)
                # No error, and nothing on standard error: no warning of a loop that stands still.
                told = [output for output in outputs if output.output_type in {"error", "stream"}]
                assert told == [], cell.id
                html = html_of(outputs)
                assert [text for text in SHOWN.get(cell.id, ()) if text not in html] == [], cell.id
            assert await kernel.run(code(CLIENTS.format(url=fake.base_url))) == []
            for source, error in INTERRUPTED.items():
                await interrupted(kernel, fake, source, error)
            leaving = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - leaving < 5  # an open client keeps no kernel


async def interrupted(kernel: Kernel, fake: FakeOpenRouter, source: str, error: str) -> None:
    """Interrupt a call while the server is silent; afterwards the same call is answered."""
    fake.reset()
    fake.script(Stall(SECONDS), Auto(times=None))
    call = asyncio.create_task(kernel.run(code(source)))
    while not fake.requests() and not call.done():
        await asyncio.sleep(0.02)
    await kernel.interrupt()
    outputs = await call
    assert outputs[-1].ename == error
    if "show_progress" in source:
        assert "stopped" in html_of(outputs)
    async with asyncio.timeout(5):
        while not fake.requests()[0].aborted:
            await asyncio.sleep(0.02)
    again = await kernel.run(code(source))
    assert [output for output in again if output.output_type == "error"] == []
    assert "completed" in html_of(again) or "Fake answer to: hi" in html_of(again)
