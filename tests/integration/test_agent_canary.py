"""Z1, Z2, Z4: what a person gives in a dialogue, and the API key, turn up nowhere but in the tool."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from support.agent_safety_canary import TOOLS

from mbxai.testing import Auto, Failure, FakeOpenRouter, Match

PROGRAM = Path(__file__).parents[1] / "support" / "agent_safety_canary.py"

TOKEN = 'cnry9f8Qx7wZk"Tq/p+é=&Vb3Lm\\Ng5'
NOTE = "sk-live-pwcnry4Hs8Jd2Rf6Yt0Ub"
KEY = "sk-or-v1-fake"
PLACES = (
    *("errors", "events", "logs", "on_event", "requests", "responses", "session_info"),
    *("spans", "stderr", "store"),
)
# A program that does well says nothing there.
MAY_BE_EMPTY = {"stderr"}


def plan() -> dict[str, Any]:
    task = {
        "key": "t",
        "title": "Work",
        "description": "Use every tool",
        "depends_on": [],
        "tools_needed": TOOLS,
        "estimated_complexity": 1,
    }
    return {"tasks": [task], "estimated_total_time": "1 minute"}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenRouter]:
    with FakeOpenRouter(auto_overrides={"TodoList": plan()}) as fake:
        yield fake


@pytest.fixture(
    scope="module",
    params=["credentials-sqlite", "additional_context-sqlite", "credentials-redis"],
)
def seen(
    request: pytest.FixtureRequest,
    server: FakeOpenRouter,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """All that could be seen of a run, by place."""
    way, _, store = request.param.partition("-")
    url = request.getfixturevalue("redis_url") if store == "redis" else ""
    server.reset()
    server.script(
        # One run fails after the secrets are known, with a provider that says what it was sent.
        Failure(502, message=f"bad token {KEY}", when=Match(schema="GoalEvaluation")),
        Auto(times=None),
    )
    order = {
        "url": server.base_url,
        "way": way,
        "store": store,
        "redis": url,
        "folder": str(tmp_path_factory.mktemp("canary")),
        "token": TOKEN,
        "note": NOTE,
    }
    done = subprocess.run(
        [sys.executable, "-X", "dev", str(PROGRAM), json.dumps(order)],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "MBXAI_LOG_CONTENT": "1"},
    )
    assert done.returncode == 0, done.stderr
    requests = json.dumps([sent.body for sent in server.requests()], ensure_ascii=False)
    return {**json.loads(done.stdout), "stderr": done.stderr, "requests": requests}


@cache
def disguises(value: str) -> set[str]:
    """A value as it is, and as JSON, URLs, Base64 and hexadecimal digits write it."""
    raw = value.encode()
    found = {value, repr(value)[1:-1], quote(value), quote(value, safe=""), quote_plus(value)}
    for ascii_only in (True, False):
        once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        found |= {once, json.dumps(once, ensure_ascii=ascii_only)[1:-1]}
    found |= {raw.hex(), raw.decode("latin-1")}
    for before in range(3):
        first, last = -(-before * 4 // 3), (before + len(raw)) * 4 // 3
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(bytes(before) + raw).decode()[first:last])
    return found


def leaks_of(secret: str, seen: dict[str, Any], *parts: str) -> dict[str, list[str]]:
    """Where a secret turned up, and in which forms."""
    forms = disguises(secret) | set(parts)
    found = {place: [form for form in forms if form in seen[place]] for place in PLACES}
    return {place: leaked for place, leaked in found.items() if leaked}


@pytest.mark.parametrize("secret", [TOKEN, NOTE], ids=["dialogue", "form"])
def test_z1_z2_a_secret_of_a_person_turns_up_nowhere(seen: dict[str, Any], secret: str) -> None:
    # Nor a part of it that no chance would write.
    assert leaks_of(secret, seen, secret[:12], secret[-9:]) == {}


def test_z4_the_api_key_turns_up_nowhere(seen: dict[str, Any]) -> None:
    assert leaks_of(KEY, seen) == {}


def test_z1_every_place_was_looked_at(seen: dict[str, Any]) -> None:
    assert {place for place in PLACES if not seen[place]} <= MAY_BE_EMPTY


def test_z1_the_tools_got_what_the_person_gave(seen: dict[str, Any]) -> None:
    assert seen["got"] == dict.fromkeys(TOOLS, True)


def test_z2_the_model_saw_the_handle_instead(seen: dict[str, Any]) -> None:
    requests = seen["requests"]

    assert "secret://login/auth_token" in requests
    for name in ("echo", "fail", "post"):
        assert f'"name": "{name}"' in requests
    # What the tools repeat has the handle in the place of the value, once a form.
    assert requests.count("secret://login/auth_token") > len(TOOLS)
