"""Handles in arguments: what becomes a credential, and for whom. Credentials in answers in words."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbxai.agent._concealing import concealed, credentials_in
from mbxai.agent.running._credentials import injectable, resolved
from mbxai.sessions import CredentialVault
from mbxai.wire import ToolInfo

LOCAL = ToolInfo(name="fetch", description="", parameters={})
REMOTE = ToolInfo(name="fetch", description="", parameters={}, source="a-server")


@pytest.fixture
def vault() -> CredentialVault:
    vault = CredentialVault()
    vault.put("s", "jira auth", {"auth_token": "tok-123456"})
    vault.put("s", "github", {"auth_token": "tok-654321", "user": "bo"})
    return vault


HANDLE = "secret://jira%20auth/auth_token"


def test_a_handle_as_a_whole_argument_of_its_name_becomes_the_credential(
    vault: CredentialVault,
) -> None:
    given = resolved("s", LOCAL, f'{{"auth_token": "{HANDLE}", "id": 7}}', vault)

    assert given.refusal is None
    assert given.text == '{"auth_token": "tok-123456", "id": 7}'


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        (REMOTE, f'{{"auth_token": "{HANDLE}"}}', "may not have credentials"),
        (None, f'{{"auth_token": "{HANDLE}"}}', "may not have credentials"),
        (LOCAL, f'{{"comment": "{HANDLE}"}}', "only be passed as an argument named auth_token"),
        (LOCAL, f'{{"auth_token": "Bearer {HANDLE}"}}', "whole value"),
        (LOCAL, f'{{"auth_token": ["{HANDLE}"]}}', "whole value"),
        (LOCAL, '{"auth_token": "secret://jira%20auth/other"}', "named other"),
        (LOCAL, '{"gone": "secret://jira%20auth/gone"}', "gave only secret://jira%20auth/auth"),
    ],
)
def test_any_other_use_of_a_handle_is_refused_with_the_reason(
    vault: CredentialVault, tool: ToolInfo | None, arguments: str, reason: str
) -> None:
    given = resolved("s", tool, arguments, vault)

    assert given.text == ""
    assert reason in str(given.refusal)
    assert "tok-" not in str(given.refusal)


def test_another_sessions_handle_does_not_resolve(vault: CredentialVault) -> None:
    given = resolved("other", LOCAL, f'{{"auth_token": "{HANDLE}"}}', vault)

    assert "not available" in str(given.refusal)


def test_arguments_that_are_no_object_are_left_to_the_tools_own_validation(
    vault: CredentialVault,
) -> None:
    assert resolved("s", LOCAL, f'["{HANDLE}"]', vault).text == f'["{HANDLE}"]'
    assert resolved("s", LOCAL, "{", vault).text == "{"


def test_a_name_that_two_dialogues_share_is_only_there_with_its_dialogue(
    vault: CredentialVault,
) -> None:
    assert injectable("s", vault) == {
        "jira auth.auth_token": "tok-123456",
        "github.auth_token": "tok-654321",
        "github.user": "bo",
        "user": "bo",
    }


# --- handles that are not whole (Z3) ---------------------------------------------------------------

IN_DISGUISE = {
    "embedded": f"token {HANDLE} end",
    "concatenated": HANDLE + HANDLE,
    "with a blank before it": f" {HANDLE}",
    "in capitals": HANDLE.upper(),
    "percent-encoded": quote(HANDLE, safe=""),
    "percent-encoded twice": quote(quote(HANDLE, safe=""), safe=""),
    "base64": base64.b64encode(HANDLE.encode()).decode(),
    "base64, later": base64.b64encode(b"x" + HANDLE.encode()).decode(),
    "base64, later still": base64.b64encode(b"xy" + HANDLE.encode()).decode(),
    "as JSON in a string": json.dumps({"auth_token": HANDLE}).replace("/", "\\/"),
    "in a list": [HANDLE],
    "in an object": {"auth_token": {"deep": [HANDLE]}},
    "as a key": {HANDLE: 1},
}


@pytest.mark.parametrize("allowed", [None, ["fetch"]])
@pytest.mark.parametrize("name", IN_DISGUISE)
def test_z3_a_handle_that_is_no_whole_value_is_refused_also_where_it_is_granted(
    name: str, allowed: list[str] | None
) -> None:
    vault = CredentialVault()
    vault.put("s", "jira auth", {"auth_token": "tok-123456"}, allowed_tools=allowed)
    arguments = json.dumps({"auth_token": IN_DISGUISE[name]})
    refused = resolved("s", LOCAL, arguments, vault)

    assert refused.text == ""
    assert refused.refusal is not None
    assert "tok-" not in refused.refusal


def test_z3_a_handle_in_escaped_letters_is_the_handle(vault: CredentialVault) -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in HANDLE)

    assert "tok-123456" in resolved("s", LOCAL, f'{{"auth_token": "{escaped}"}}', vault).text
    assert "tok-123456" in resolved("s", LOCAL, f'{{"auth_token": "{HANDLE}"}}', vault).text
    assert resolved("s", REMOTE, f'{{"auth_token": "{escaped}"}}', vault).refusal is not None


def test_arguments_without_handles_are_passed_on_as_the_model_wrote_them(
    vault: CredentialVault,
) -> None:
    written = '{ "id":7,  "note": "c2VjcmV0 is a secret: // no handle" }'

    assert resolved("s", LOCAL, written, vault).text == written
    assert resolved("s", REMOTE, written, vault).text == written


# --- grants ----------------------------------------------------------------------------------------


def granted(*tools: str) -> CredentialVault:
    vault = CredentialVault()
    vault.put("s", "jira auth", {"auth_token": "tok-123456"}, allowed_tools=tools)
    return vault


@pytest.mark.parametrize("tool", [LOCAL, REMOTE])
def test_a_tool_that_the_dialogue_names_gets_the_credential_in_any_argument(tool: ToolInfo) -> None:
    given = resolved("s", tool, f'{{"key": "{HANDLE}"}}', granted("fetch"))

    assert given.text == '{"key": "tok-123456"}'


@pytest.mark.parametrize("tools", [(), ("fetch_all",)])
def test_a_tool_that_the_dialogue_does_not_name_gets_nothing(tools: tuple[str, ...]) -> None:
    vault = granted(*tools)
    given = resolved("s", LOCAL, f'{{"auth_token": "{HANDLE}"}}', vault)

    assert "fetch may not have" in str(given.refusal)
    assert injectable("s", vault, tool="fetch") == {}


def test_a_secret_parameter_is_filled_only_for_tools_that_the_dialogue_names() -> None:
    vault = granted("fetch")

    assert injectable("s", vault, tool="fetch")["auth_token"] == "tok-123456"
    assert injectable("s", vault, tool="post") == {}
    assert injectable("s", vault) == {}


def test_a_grant_lasts_as_long_as_the_credential_and_goes_with_it() -> None:
    vault = granted("fetch")
    vault.put("s", "other", {"x": "1234567"})
    assert vault.allowed_tools("s", HANDLE) == ("fetch",)
    vault.put("s", "jira auth", {"auth_token": "tok-222222"})
    assert vault.allowed_tools("s", HANDLE) is None
    vault.forget("s")
    assert vault.allowed_tools("s", HANDLE) is None


# --- credentials that are not there ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("handle", "advice"),
    [
        ("secret://sap/auth_token", "ask for it with open_dialog"),
        ("secret://jira%20auth/password", "gave only secret://jira%20auth/auth_token"),
        ("secret://answer%3Ai-1/value_1", "ask the person again"),
    ],
)
def test_a_handle_with_nothing_behind_it_tells_the_model_what_can_help(
    vault: CredentialVault, handle: str, advice: str
) -> None:
    name = handle.rpartition("/")[2] if "answer" not in handle else "token"
    refused = resolved("s", LOCAL, json.dumps({name: handle}), vault)

    assert advice in str(refused.refusal)


# --- answers in words ------------------------------------------------------------------------------


@pytest.fixture
def answered() -> tuple[CredentialVault, str]:
    vault = CredentialVault()
    (handle,) = vault.put("s", "answer:i-1", {"value_1": "ghp_abcdefghijklmnopqrst12"})
    return vault, handle


@pytest.mark.parametrize("name", ["value_1", "token", "apiKey", "password"])
def test_a_handle_of_an_answer_may_be_passed_as_any_argument_for_a_credential(
    answered: tuple[CredentialVault, str], name: str
) -> None:
    vault, handle = answered

    assert "ghp_" in resolved("s", LOCAL, json.dumps({name: handle}), vault).text
    assert resolved("s", REMOTE, json.dumps({name: handle}), vault).refusal is not None


def test_a_handle_of_an_answer_is_no_text_for_just_any_argument(
    answered: tuple[CredentialVault, str],
) -> None:
    vault, handle = answered
    refused = resolved("s", LOCAL, json.dumps({"comment": handle}), vault)

    assert "argument for a credential" in str(refused.refusal)
    assert injectable("s", vault, tool="fetch") == {}


WORDS = {
    "my token is ghp_abcdefghijklmnopqrstuvwx12": ["token"],
    "password: hunter2, ok?": ["password"],
    "username:u,password:p4ssw0rd": ["password"],
    "Bearer abcdefgh12345": ["value_1"],
    "use sk-abcdefgh12345678 and AKIAABCDEFGHIJKLMNOP": ["value_1", "value_2"],
    "auth_token:oauth_token_abc123": ["auth_token"],
    "my passphrase: correct-horse": ["passphrase"],
    "token=abc123def token=fed321cba": ["token", "value_2"],
    "see https://x.test/?api_key=k-4711-abc&y=1": ["api_key"],
    "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----": ["value_1"],
}


@pytest.mark.parametrize("text", WORDS)
def test_a_credential_in_words_is_found_and_nothing_of_it_stays(text: str) -> None:
    found = credentials_in(text)
    handles = {value: f"secret://answer/{name}" for name, value in found.items()}
    left = concealed(text, handles, str)

    assert list(found) == WORDS[text]
    assert all(value in text and value not in left for value in found.values())
    assert all(handle in left for handle in handles.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "The basic subscription, to Lisbon",
        "the token: is fine",
        "the password is wrong",
        "secret: be kind",
        "the api key is in the vault",
        "token count: 12345678",
        "the password reset: tomorrow",
        "password:",
        "password: secret://jira/auth_token",
        "Order 4711-0815-123456 of 2026-11-23 for bo@example.com",
    ],
)
def test_prose_about_credentials_stays_as_it_is(text: str) -> None:
    assert credentials_in(text) == {}


def test_a_credential_that_comes_twice_has_one_handle() -> None:
    found = credentials_in("token=abc123def", "again: abc123def, token=abc123def")

    assert found == {"token": "abc123def"}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=20), st.sampled_from([*WORDS])), max_size=4))
def test_no_answer_breaks_the_search_and_values_are_pieces_of_it(texts: list[str]) -> None:
    found = credentials_in(*texts)
    handles = {value: f"secret://answer/{name}" for name, value in found.items()}

    for name, value in found.items():
        assert name
        assert any(value in text for text in texts)
    for text in texts:
        left = concealed(text, handles, str)
        assert left == text or any(handle in left for handle in handles.values())
