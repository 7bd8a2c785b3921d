"""`mbxai run` in a terminal: the live view, questions at the prompt, Ctrl-C."""

import re

import pytest
from support.programs import mbxai, terminal

from mbxai.testing import Auto, FakeOpenRouter, Match, Reply

CODE = '''
import time
from mbxai.agent import DialogOption


def stock(item: str) -> int:
    """Return how many pieces are in stock."""
    time.sleep(0.5)
    return 73


login = DialogOption(id="login", title="Shop login", description="Log in")
'''


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop.py").write_text(CODE)
    return tmp_path


@pytest.mark.parametrize("width", [80, 40])
def test_the_live_view_shows_the_run_and_ends_with_the_answer(shop, width):
    with (
        FakeOpenRouter(latency=0.2) as fake,
        terminal(
            "run", "Order a lamp", "--tool", "shop:stock", env=fake.env(), cwd=shop, width=width
        ) as screen,
    ):
        screen.wait_for("stock {")
        assert screen.end() == 0
    assert "\x1b[?25l" in screen.raw  # the cursor is hidden meanwhile
    assert screen.raw.rindex("\x1b[?25h") > screen.raw.rindex("\x1b[?25l")
    view, answer = screen.text.rsplit("{", 1)
    assert "✓ answer" in view
    assert '"result"' in answer
    assert "Order a lamp" in view


def test_every_line_of_the_view_fits_the_terminal(shop):
    with (
        FakeOpenRouter(latency=0.1) as fake,
        terminal("run", "Order " * 40, env=fake.env(), cwd=shop, width=50) as screen,
    ):
        assert screen.end() == 0
    lines = re.split(r"[\r\n]+", screen.text)
    assert max(map(len, lines)) <= 50


def test_no_color_means_plain_lines(shop):
    with (
        FakeOpenRouter() as fake,
        terminal("run", "Order", env={**fake.env(), "NO_COLOR": "1"}, cwd=shop) as screen,
    ):
        assert screen.end() == 0
    assert "phase   completed" in screen.text
    assert "\x1b" not in screen.raw


def test_questions_are_answered_at_the_prompt_and_secrets_are_not_shown(shop):
    asks = Reply(
        tool_calls=[
            {"name": "ask_question", "arguments": {"prompt": "Which colour?"}},
            {"name": "open_dialog", "arguments": {"dialog_option_id": "login", "reason": "r"}},
        ],
        when=Match(tool="ask_question"),
    )
    with (
        FakeOpenRouter([asks, Auto(times=None)]) as fake,
        terminal(
            "run", "Order", "--human", "--dialog", "shop:login", env=fake.env(), cwd=shop
        ) as screen,
    ):
        screen.wait_for("? Which colour?")
        screen.wait_for("> ")
        screen.type("dark blue")
        screen.wait_for("Shop login: ", times=2)
        screen.type("hunter2222")
        assert screen.end() == 0
        bodies = str([request.body for request in fake.requests()])
    assert "dark blue" in bodies
    assert "hunter2222" not in bodies + screen.text
    assert "✓ answer" in screen.text


def test_ctrl_c_keeps_the_session_and_says_how_to_go_on(shop):
    with FakeOpenRouter(latency=0.4) as fake:
        words = ["run", "Order a lamp", "--session", "s.sqlite", "--agent-id", "mine"]
        with terminal(*words, env=fake.env(), cwd=shop, width=120) as screen:
            screen.wait_for("✓ tools")
            screen.interrupt()
            assert screen.end() == 130
        assert "Stopped." in screen.text
        assert "  mbxai run --session s.sqlite --agent-id mine" in screen.text
        ended = mbxai("run", *words[2:], env=fake.env(), cwd=shop)
    assert (ended.code, ended.err) == (0, "")
    assert not any("analyzing requirement" in line for line in ended.lines)


def test_ctrl_c_at_a_question_keeps_the_session_too(shop):
    asks = Reply(
        tool_calls=[{"name": "ask_question", "arguments": {"prompt": "Which colour?"}}],
        when=Match(tool="ask_question"),
    )
    with (
        FakeOpenRouter([asks, Auto(times=None)]) as fake,
        terminal(
            "run", "Order", "--human", "--session", "s.sqlite", env=fake.env(), cwd=shop
        ) as screen,
    ):
        screen.wait_for("? Which colour?")
        screen.wait_for("> ")
        screen.interrupt()
        assert screen.end() == 130
    assert "Session " in screen.text
