"""The inspector as a person has it: `mbxai serve` in its own process, and Chromium."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from mbxai.sessions import KeyRing
from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

HERE = Path(__file__).parent
PASSWORD = "pw-canary-5f1c09e7"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
PARTS: list[tuple[Any, ...]] = [
    ("find", "Find the order", [], ["find_order"], 1),
    ("box", "Choose the box", [], [], 1),
    ("ship", "Ship the lamp", ["find", "box"], ["ship"], 5),
    ("tell", "Tell the customer", ["ship"], [], 1),
]


def plan(parts: Sequence[tuple[Any, ...]] = PARTS) -> dict[str, Any]:
    """Two tasks at once, and two after them; or others."""
    names = ("key", "title", "depends_on", "tools_needed", "estimated_complexity")
    tasks = [
        {**dict(zip(names, (key, title, *rest), strict=True)), "description": f"{title} for Ann"}
        for key, title, *rest in parts
    ]
    return {"tasks": tasks, "estimated_total_time": "1 minute"}


def called(contains: str, name: str, **arguments: str) -> Reply:
    calls = [{"name": name, "arguments": arguments}]
    return Reply(tool_calls=calls, when=Match(contains=contains, tool="ask_question"))


def said(contains: str, content: str) -> Reply:
    return Reply(content, when=Match(contains=contains, tool="ask_question"))


def story(fake: FakeOpenRouter) -> None:
    """What the model says in the next run."""
    fake.script(
        Reply(when=Match(schema="TodoList"), json=plan()),
        called("Find the order for Ann", "open_dialog", dialog_option_id="shop_login", reason="it"),
        called("Find the order for Ann", "find_order", customer="Ann"),
        called(
            "Choose the box for Ann", "ask_question", prompt="Which box, <i>small</i> or large?"
        ),
        said("Find the order for Ann", "It is order 4711"),
        said("Choose the box for Ann", "The small box"),
        called("Ship the lamp for Ann", "ship", order="4711"),
        said("Ship the lamp for Ann", "It is shipped"),
        said("Tell the customer for Ann", "Ann knows"),
        Reply(
            when=Match(schema="Receipt"),
            json={"order": "4711", "summary": "<script>document.title = 'broken'</script> shipped"},
        ),
        Auto(times=None),
    )


class Inspector:
    """A served inspector.

    Attributes:
        url: The address that the program printed, with its token.
        folder: Where the sessions are.
    """

    def __init__(self, url: str, folder: Path, fake: FakeOpenRouter) -> None:
        self.url = url
        self.folder = folder
        self.fake = fake


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[Inspector]:
    with FakeOpenRouter() as fake:
        env = os.environ | fake.env() | {"PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1"}
        env |= {"MBXAI_SESSION_KEY": KeyRing.generate()}
        env |= {"LAMP_SHOP_SESSIONS": str(folder / "s.db"), "LAMP_SHOP_PASSWORD": PASSWORD}
        schemas = ("--schema", "lamp_shop:Receipt", "--schema", "lamp_shop:Refund")
        command = [sys.executable, "-m", "mbxai.cli", "serve", "lamp_shop:agent", "--port", "0"]
        with (
            (folder / "log").open("w") as log,
            subprocess.Popen(
                [*command, *schemas, *arguments],
                env=env,
                stderr=subprocess.PIPE,
                stdout=log,
                text=True,
            ) as program,
        ):
            assert program.stderr is not None
            first = program.stderr.readline()
            found = re.search(r"http://\S+", first)
            assert found, first + program.stderr.read()
            try:
                yield Inspector(found[0], folder, fake)
            finally:
                program.terminate()
                said = first + program.stderr.read() + (folder / "log").read_text()
                assert program.wait(10) in (0, -15, 130, 143)
            assert PASSWORD not in said
            assert "Traceback" not in said


@contextmanager
def chromium() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "Chromium is missing: install it, for example Debian's package chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, url: str, *, excused: str = "nothing", **options: Any
) -> Iterator[Page]:
    """A page of a new visitor; whatever goes wrong in it is an error, but for what is excused."""
    context = browser.new_context(**options)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.goto(url)
    yield page
    context.close()
    assert [text for text in wrong if excused not in text] == []
