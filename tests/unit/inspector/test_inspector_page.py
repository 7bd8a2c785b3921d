"""The page of the inspector: one document, in which nothing but its own script runs."""

import re
from base64 import b64encode
from hashlib import sha256
from typing import get_args

from mbxai.agent.events import AgentEvent
from mbxai.agent.models import AgentState, TaskStatus
from mbxai.inspector import inspector_page

HTML = inspector_page().body.decode()
POLICY = inspector_page().headers["content-security-policy"]


def inside(tag: str) -> str:
    (text,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", HTML, re.DOTALL)
    return text


def test_its_policy_lets_only_its_own_script_and_style_in() -> None:
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        digest = b64encode(sha256(inside(tag).encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in POLICY
    assert POLICY.startswith("default-src 'none';")
    assert "unsafe" not in POLICY


def test_nothing_is_loaded_from_elsewhere_and_no_text_becomes_markup() -> None:
    outside = set(re.findall(r"https?://[^\s\"']+", HTML)) - {"http://www.w3.org/2000/svg"}
    assert outside == set()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " on"):
        assert not re.search(
            rf"{re.escape(way)}\w*\s*=\s*\"" if way == " on" else re.escape(way), HTML
        )


def test_it_knows_every_event_and_every_state() -> None:
    listed = re.search(r"const EVENT_TYPES = \[(.*?)\];", HTML, re.DOTALL)
    assert listed is not None
    types = {kind.model_fields["type"].default for kind in get_args(AgentEvent)}
    assert set(re.findall(r'"(\w+)"', listed[1])) == types
    phases = re.search(r"const PHASES = \[(.*?)\];", HTML, re.DOTALL)
    assert phases is not None
    names = set(re.findall(r'\["(\w+)"', phases[1]))
    assert names == set(AgentState) - {AgentState.WAITING_FOR_HUMAN, AgentState.FAILED}
    marks = re.search(r"const MARKS = \{(.*?)\};", HTML)
    assert marks is not None
    assert set(re.findall(r"(\w+):", marks[1])) == set(TaskStatus)
