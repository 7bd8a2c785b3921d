"""The inspector in Chromium: a run begun, watched, answered, replayed; what the page lets through."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.inspector import (
    PASSWORD,
    Inspector,
    called,
    chromium,
    opened,
    plan,
    said,
    served,
    story,
)
from playwright.sync_api import Browser, Page, Route, expect

from mbxai.testing import Auto, Match, Reply

SHOTS = os.environ.get("MBXAI_SCREENSHOTS")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def inspector(tmp_path: Path) -> Iterator[Inspector]:
    with served(tmp_path) as found:
        yield found


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def faults(page: Page) -> list[str]:
    """Serious faults that axe finds."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    grave = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [
        f"{f['id']}: {f['nodes'][0]['html']}: {f['nodes'][0].get('failureSummary')}" for f in grave
    ]


def start(page: Page, inspector: Inspector) -> None:
    story(inspector.fake)
    page.get_by_label("Goal").fill("Ship the lamp to Ann")
    page.get_by_label("Final response").select_option("Receipt")
    page.get_by_role("button", name="Start", exact=True).click()


def log_in(page: Page) -> None:
    form = page.locator("#forms form").filter(has_text="Log in to the shop")
    form.get_by_label("username").fill("ann")
    assert form.get_by_label("password").get_attribute("type") == "password"
    form.get_by_label("password").fill(PASSWORD)
    form.get_by_role("button", name="Answer").click()
    expect(form).to_have_count(0)


def choose_box(page: Page) -> None:
    form = page.locator("#forms form").filter(has_text="Which box")
    form.get_by_role("textbox").fill("the small one")
    form.get_by_role("button", name="Answer").click()
    expect(form).to_have_count(0)


def approve(page: Page) -> None:
    form = page.locator("#forms form").filter(has=page.get_by_role("radio", name="proceed"))
    form.get_by_role("radio", name="proceed").check()
    form.get_by_role("button", name="Answer").click()


def phase(page: Page, name: str) -> str | None:
    return page.locator(f"#phases [data-key={name}]").get_attribute("data-status")


def finished(page: Page) -> None:
    expect(page.locator("#session-state")).to_have_text("completed")
    expect(page.locator("#result-body")).to_contain_text('"order": "4711"')


def test_a_run_is_begun_watched_answered_in_three_ways_reloaded_and_finished(
    browser: Browser, inspector: Inspector
) -> None:
    with opened(browser, inspector.url, viewport={"width": 1280, "height": 900}) as page:
        assert "token" not in page.url
        assert faults(page) == []
        start(page, inspector)
        nodes = page.locator("#graph .node")
        expect(nodes).to_have_count(4)
        expect(page.locator("#graph .edge")).to_have_count(3)
        expect(page.locator("#forms form")).to_have_count(2)
        assert phase(page, "executing_tasks") == "waiting"
        expect(page.locator("#session-prompt")).to_have_text("Ship the lamp to Ann")
        assert phase(page, "generating_todo") == "done"
        assert faults(page) == []
        shot(page, "inspector-asks")
        log_in(page)
        page.reload()
        expect(nodes).to_have_count(4)
        expect(page.locator("#tools")).to_contain_text("find_order")
        choose_box(page)
        expect(page.get_by_role("radio", name="proceed")).to_be_visible()
        expect(nodes.nth(0)).to_have_attribute("data-status", "completed")
        assert faults(page) == []
        approve(page)
        finished(page)
        expect(page.locator("#graph .node[data-status=completed]")).to_have_count(4)
        expect(page.locator("#tools > li")).to_have_count(2)
        total = page.locator("#usage-total td").all_inner_texts()
        assert int(total[1]) > 6
        assert float(total[4]) > 0
        assert faults(page) == []
        shot(page, "inspector-finished")
        # What a model or a tool wrote is text.
        assert page.title() == "mbxai inspector"
        assert page.locator("main script, main b[onclick], main i").count() == 0
        expect(page.locator("#result-body")).to_contain_text("<script>document.title")

        page.get_by_role("button", name="Play").click()
        expect(page.locator("#session-state")).to_contain_text("(replay)")
        page.get_by_role("button", name="Pause").click()
        page.locator("#position").fill("4")
        expect(page.locator("#position-text")).to_contain_text("4 /")
        assert page.locator("#graph .node[data-status=completed]").count() == 0
        page.locator("#position").press("End")
        expect(page.locator("#session-state")).to_have_text("completed")
        keeps_the_secret(inspector, page)


def keeps_the_secret(inspector: Inspector, page: Page) -> None:
    session = f"sessions/{page.locator('#session-id').inner_text()}"
    for path in ("events", "export", ""):
        told = page.request.get(
            page.url.partition("inspector")[0] + f"{session}/{path}".rstrip("/")
        )
        assert told.status == 200
        assert "find_order" in told.text()
        assert PASSWORD not in told.text()
    kept = b"".join(path.read_bytes() for path in inspector.folder.iterdir())
    assert kept
    assert PASSWORD.encode() not in kept
    assert PASSWORD not in str([request.body for request in inspector.fake.requests()])


def test_dark_narrow_and_by_keyboard_alone(browser: Browser, inspector: Inspector) -> None:
    phone = {"width": 360, "height": 800}
    with opened(browser, inspector.url, viewport=phone, color_scheme="dark") as page:
        page.evaluate("location.hash = '%'")
        story(inspector.fake)
        page.get_by_label("Goal").focus()
        page.keyboard.type("Ship the lamp to Ann")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#forms form")).to_have_count(2)
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        shot(page, "inspector-narrow-dark")
        page.locator("#forms textarea").focus()
        page.keyboard.type("small")
        page.locator("#position").fill("3")
        expect(page.locator("#asked")).to_be_hidden()
        page.locator("#position").press("End")
        expect(page.locator("#asked")).to_be_visible()
        page.locator("#forms textarea").focus()
        expect(page.locator("#forms textarea")).to_have_value("small")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#forms form")).to_have_count(1)


def test_a_log_in_without_names_takes_any(browser: Browser, inspector: Inspector) -> None:
    inspector.fake.script(
        Reply(when=Match(schema="TodoList"), json=plan()),
        called("Find the order for Ann", "open_dialog", dialog_option_id="badge", reason="it"),
        said("Find the order for Ann", "Found"),
        Auto(times=None),
    )
    with opened(browser, inspector.url) as page:
        page.get_by_label("Goal").fill("Ship the lamp to Ann")
        page.get_by_role("button", name="Start", exact=True).click()
        form = page.locator("#forms form").filter(has_text="Show the badge")
        form.get_by_label("Credential 1").fill("number")
        form.get_by_label("Secret 1").fill("4711")
        expect(form.get_by_label("Credential 2")).to_be_visible()
        assert faults(page) == []
        form.get_by_role("button", name="Answer").click()
        expect(form).to_have_count(0)


def test_a_finished_session_goes_on_and_another_one_is_chosen(
    browser: Browser, inspector: Inspector
) -> None:
    counting = plan([("count", "Count", [], [], 1)])
    turn = [Reply(when=Match(schema="TodoList"), json=counting), said("Count for Ann", "Three")]
    inspector.fake.script(*turn * 3, Auto(times=None))
    with opened(browser, inspector.url) as page:
        for goal in ("Count the lamps", "Count the shades"):
            page.get_by_label("Goal").fill(goal)
            page.get_by_label("Final response").select_option("Refund")
            page.get_by_role("button", name="Start", exact=True).click()
            expect(page.locator("#session-prompt")).to_have_text(goal)
            expect(page.locator("#result-body")).to_contain_text("amount")
        expect(page.locator("#sessions li")).to_have_count(2)
        calls = int(page.locator("#usage-total td").nth(1).inner_text())
        page.get_by_label("A further prompt").fill("Count them again")
        page.get_by_role("button", name="Go on", exact=True).click()
        expect(page.locator("#usage-total td").nth(1)).to_have_text(str(2 * calls))
        expect(page.locator("#session-state")).to_have_text("completed")
        current = page.locator("#session-id").inner_text()
        page.locator("#sessions button[aria-current=false]").click()
        expect(page.locator("#session-id")).not_to_have_text(current)
        expect(page.locator("#usage-total td").nth(1)).to_have_text(str(calls))
        page.reload()
        expect(page.locator("#session-id")).not_to_have_text(current)
        page.go_back()
        expect(page.locator("#session-id")).to_have_text(current)


def test_cancel_and_delete(browser: Browser, inspector: Inspector) -> None:
    with opened(browser, inspector.url, excused="status of 404") as page:
        page.on("dialog", lambda dialog: dialog.accept())
        start(page, inspector)
        expect(page.locator("#forms form")).to_have_count(2)
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#session-state")).to_have_text("failed")
        expect(page.locator("#result-body")).to_contain_text("Cancelled")
        expect(page.locator("#forms form")).to_have_count(0)
        page.get_by_role("button", name="Delete").click()
        expect(page.locator("#no-sessions")).to_be_visible()
        expect(page.locator("#nothing")).to_contain_text("deleted")
        page.evaluate("location.hash = 'nobody'")
        expect(page.locator("#nothing")).to_contain_text("There is no such session")
        expect(page.locator("#session")).to_be_hidden()


def test_a_service_that_refuses_for_a_while_is_asked_again(
    browser: Browser, inspector: Inspector
) -> None:
    first = {"type": "state_changed", "state": "analyzing_requirement", "seq": 1}
    told = f"retry: 10\n\nid: 1\nevent: state_changed\ndata: {json.dumps(first)}\n\n"
    answers = [{"status": 503}, {"body": told, "content_type": "text/event-stream"}]

    def break_off(route: Route) -> None:
        if answers:
            route.fulfill(**answers.pop())
        else:
            route.continue_()

    with opened(browser, inspector.url, excused="status of 503") as page:
        page.route("**/events", break_off)
        start(page, inspector)
        expect(page.locator("#forms form")).to_have_count(2, timeout=20_000)
        steps = page.locator("#log li").filter(has_text="analyzing requirement")
        expect(steps.filter(has_text="state changed")).to_have_count(1)
        assert not answers


def test_without_the_token_there_is_nothing(browser: Browser, inspector: Inspector) -> None:
    page = browser.new_page()
    answer = page.goto(inspector.url.partition("?")[0])
    assert answer is not None
    assert answer.status == 401
    assert "token" in page.inner_text("body")
    page.close()
