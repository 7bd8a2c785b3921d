"""Handles in arguments: what becomes a credential, and for whom."""

import pytest

from mbxai.agent._credentials import injectable, resolved
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
        (LOCAL, '{"gone": "secret://jira%20auth/gone"}', "not available any more"),
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
