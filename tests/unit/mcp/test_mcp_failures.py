import anyio
import pytest

from mbxai.mcp.connection._failures import (
    challenge_text,
    describe,
    exit_text,
    is_forgotten,
    is_internal,
    missing_right,
    root_cause,
    summary,
    too_large,
)


class MCPError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def test_the_root_cause_is_found_inside_nested_groups() -> None:
    refused = ConnectionRefusedError("refused")
    group = ExceptionGroup(
        "a", [MCPError(-32000, "Connection closed"), ExceptionGroup("b", [refused])]
    )
    assert root_cause(group) is refused


def test_an_echo_is_the_cause_where_there_is_nothing_else() -> None:
    closed = MCPError(-32000, "Connection closed")
    assert root_cause(ExceptionGroup("a", [closed])) is closed


def test_a_status_says_more_than_the_error_that_hides_it() -> None:
    assert describe(MCPError(-32603, "Server returned an error response"), status=401) == (
        "answered HTTP 401 Unauthorized"
    )


def test_a_redirect_is_told_without_its_query() -> None:
    text = describe(ValueError("Redirect to https://u:p@host/x?code=abc not followed"))
    assert text == "ValueError: Redirect to https://host/x not followed"


def test_keys_are_taken_out() -> None:
    assert "sk-or-v1-abcdefghijk" not in describe(ValueError("Bearer sk-or-v1-abcdefghijk"))


def test_a_long_text_is_cut_and_a_silent_error_has_its_name() -> None:
    assert len(describe(ValueError("x" * 5000))) < 400
    assert describe(TimeoutError()) == "TimeoutError"


def test_a_program_that_is_not_there_is_told_plainly() -> None:
    assert describe(FileNotFoundError(2, "No such file")) == "no such program or directory"
    assert describe(PermissionError(13, "Permission denied")) == "not allowed to be started"


def test_every_way_is_told_with_its_answer() -> None:
    assert summary([("A", "404"), ("B", "refused")]) == "A: 404; B: refused"


def test_a_page_of_the_web_is_told_as_what_it_is() -> None:
    said = describe(ValueError("x"), status=200, media_type="text/html")
    assert said == "answered HTTP 200 with text/html, which is no MCP"
    assert describe(ValueError("x"), status=200, media_type="application/json") == "ValueError: x"


def test_of_a_challenge_only_what_helps_is_told() -> None:
    header = 'Bearer error="insufficient_scope", scope="files:write", resource_metadata="https://h/x?k=v"'
    assert challenge_text(header) == "error insufficient_scope, scope files:write"
    assert challenge_text("Basic realm=x") == ""


@pytest.mark.parametrize(
    ("status", "text", "is_so"),
    [
        (0, "Session not found", True),
        (400, "Bad Request: No valid session ID provided", True),
        (404, "Session terminated", True),
        (500, "Session not found", False),
        (0, "File not found", False),
        (0, "The training session was short", False),
    ],
)
def test_a_forgotten_session_is_recognised(status: int, text: str, is_so: bool) -> None:
    assert is_forgotten(status, text) is is_so


def raised(source: str, module: str) -> Exception:
    """What some code of a module raises."""
    try:
        exec(source, {"__name__": module})
    except Exception as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (NameError("x"), True),
        (raised("{}['x']", "mcp.client"), True),
        (raised("raise RuntimeError('Unsupported version')", "mcp.client.session"), False),
        (raised("int('x')", "mbxai.mcp.connection._link"), True),
        (ConnectionResetError(), False),
        (anyio.BrokenResourceError(), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_a_defect_of_ours_is_told_apart_from_a_bad_server(
    error: BaseException, is_so: bool
) -> None:
    assert is_internal(error) is is_so


def test_a_right_that_is_missing_is_named_where_the_challenge_names_it() -> None:
    few = challenge_text('Bearer scope="a b", error=insufficient_scope, x="y"')
    assert missing_right(few) == "the token may not do this (scope a b)"
    assert missing_right("error insufficient_scope") == "the token may not do this"
    assert missing_right("error invalid_token, scope a") == ""


def test_the_end_of_a_process_is_told_in_words() -> None:
    assert exit_text(3) == "with exit status 3"
    assert exit_text(-15) == "by SIGTERM"
    assert exit_text(-500) == "by signal 500"


def test_the_limit_of_an_event_is_found() -> None:
    assert too_large("SSE stream failed: Server-sent event exceeded the 20 byte limit.") == "20"
    assert too_large("SSE stream ended without a response") == ""
