from mbxai.mcp._failures import describe, root_cause, summary


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
