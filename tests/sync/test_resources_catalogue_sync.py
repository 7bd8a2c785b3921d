"""The blocking faces of the catalogue and the account."""

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from support.raw_server import RawServer, answer
from support.resource_answers import KEY, MODEL, PRESET

from mbxai.errors import OpenRouterConfigurationError, ProviderUnavailableError
from mbxai.openrouter import OpenRouterClient
from mbxai.openrouter._pages import Page
from mbxai.openrouter.resources import (
    account,
    auth,
    generations,
    guardrails,
    keys,
    models,
    presets,
    providers,
)

MODULES = (account, auth, generations, guardrails, keys, models, presets, providers)
PAIRS = {
    name: (getattr(module, f"Async{name}"), getattr(module, name))
    for module in MODULES
    for name in module.__all__
    if f"Async{name}" in module.__all__
}
VERIFIER = "v" * 43

# Every method, with arguments that can be sent.
CALLS: dict[str, Any] = {
    "Models.list": lambda api: api.Models.list(limit=1, offset=0, q="a"),
    "Models.get": lambda api: api.Models.get("a/b"),
    "Models.endpoints": lambda api: api.Models.endpoints("a/b"),
    "Models.count": lambda api: api.Models.count(output_modalities="all"),
    "Models.user": lambda api: api.Models.user(limit=1, sort="newest"),
    "Providers.list": lambda api: api.Providers.list(),
    "Endpoints.zdr": lambda api: api.Endpoints.zdr(),
    "Generations.get": lambda api: api.Generations.get("gen-1", wait=0.0),
    "Generations.content": lambda api: api.Generations.content("gen-1"),
    "Generations.feedback": lambda api: api.Generations.feedback("gen-1", category="other", comment="c"),
    "Credits.get": lambda api: api.Credits.get(),
    "CurrentKey.get": lambda api: api.CurrentKey.get(),
    "Activity.get": lambda api: api.Activity.get("2026-08-24", user_id="u"),
    "Keys.list": lambda api: api.Keys.list(offset=1, include_disabled=True),
    "Keys.create": lambda api: api.Keys.create("a", limit=5),
    "Keys.get": lambda api: api.Keys.get("h"),
    "Keys.update": lambda api: api.Keys.update("h", disabled=True),
    "Keys.delete": lambda api: api.Keys.delete("h"),
    "Auth.exchange_code": lambda api: api.Auth.exchange_code("c", code_verifier=VERIFIER),
    "Auth.create_code": lambda api: api.Auth.create_code("https://a.b/c", key_label="k"),
    "Presets.list": lambda api: api.Presets.list(offset=1, limit=2),
    "Presets.get": lambda api: api.Presets.get("p"),
    "Presets.versions": lambda api: api.Presets.versions("p", offset=1, limit=2),
    "Presets.get_version": lambda api: api.Presets.get_version("p", 2),
    "Presets.create_from_chat": lambda api: api.Presets.create_from_chat("p", {"model": "a/b"}),
    "Presets.create_from_messages": lambda api: api.Presets.create_from_messages("p", {"model": "a/b"}),
    "Presets.create_from_responses": lambda api: api.Presets.create_from_responses("p", {"model": "a/b"}),
    "Guardrails.list": lambda api: api.Guardrails.list(offset=1, limit=2, workspace_id="w"),
    "Guardrails.create": lambda api: api.Guardrails.create("g", limit_usd=1),
    "Guardrails.get": lambda api: api.Guardrails.get("g"),
    "Guardrails.update": lambda api: api.Guardrails.update("g", name="n"),
    "Guardrails.delete": lambda api: api.Guardrails.delete("g"),
    "Guardrails.key_assignments": lambda api: api.Guardrails.key_assignments("g", offset=1, limit=2),
    "Guardrails.assign_keys": lambda api: api.Guardrails.assign_keys("g", ["h"]),
    "Guardrails.unassign_keys": lambda api: api.Guardrails.unassign_keys("g", ["h"]),
    "Guardrails.member_assignments": lambda api: api.Guardrails.member_assignments("g", offset=1, limit=2),
    "Guardrails.assign_members": lambda api: api.Guardrails.assign_members("g", ["u"]),
    "Guardrails.unassign_members": lambda api: api.Guardrails.unassign_members("g", ["u"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def raw():
    with RawServer() as server:
        yield server


@pytest.fixture
def client(raw):
    with OpenRouterClient("sk-or-v1-own-key", "a/b", raw.base_url, max_retries=0) as made:
        yield made


def made_of(client: OpenRouterClient) -> tuple[SimpleNamespace, SimpleNamespace]:
    """The async resources of a client, and their faces."""
    requester = client.async_client._core.requester
    inner = {name: cls(requester) for name, (cls, _) in PAIRS.items()}
    return (
        SimpleNamespace(**inner),
        SimpleNamespace(**{name: face(inner[name]) for name, (_, face) in PAIRS.items()}),
    )


@pytest.mark.parametrize("name", CALLS)
def test_a_face_sends_what_its_async_class_sends(raw, client, name):
    inner, faces = made_of(client)
    raw.script(
        answer({"data": [], "key": "sk-or-v1-new-key-1234"} if _is_list(name) else {"data": {}})
    )
    result = CALLS[name](faces)
    (request,) = raw.seen().requests

    async def ask() -> Any:
        return await CALLS[name](inner)

    raw.script(answer({"data": []} if _is_list(name) else {"data": {}}))
    other = client_run(ask)
    (expected,) = raw.seen().requests
    assert (request["start"], request["body"]) == (expected["start"], expected["body"])
    if _is_list(name):
        assert isinstance(result, Page)
    else:
        assert type(result) is type(other)


def _is_list(name: str) -> bool:
    cls, method = name.split(".")
    return not inspect.iscoroutinefunction(getattr(PAIRS[cls][0], method))


def client_run(ask: Any) -> Any:
    import mbxai.portal as portal

    return portal.run(ask)


def test_every_method_of_every_face_is_called_above():
    methods = {
        f"{name}.{method}"
        for name, (_, face) in PAIRS.items()
        for method, member in vars(face).items()
        if not method.startswith("_") and not isinstance(member, staticmethod)
    }
    assert len(PAIRS) == 11
    assert methods == CALLS.keys()


@pytest.mark.parametrize("name", PAIRS)
def test_a_face_has_the_methods_of_its_async_class(name):
    cls, face = PAIRS[name]
    for method, member in vars(cls).items():
        if method.startswith("_"):
            continue
        ours, theirs = getattr(cls, method), getattr(face, method)
        assert inspect.signature(ours).parameters == inspect.signature(theirs).parameters
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)
        assert isinstance(member, staticmethod) == isinstance(vars(face)[method], staticmethod)
        assert not inspect.iscoroutinefunction(theirs)


def test_a_list_is_iterated_over_all_its_pages(raw, client):
    _, faces = made_of(client)
    raw.script(
        answer({"data": [MODEL, MODEL], "total_count": 3}),
        answer({"data": [MODEL | {"id": "a/last"}], "total_count": 3}),
    )
    page = faces.Models.list(limit=2)
    assert (len(page.data), page.has_more, page.total_count) == (2, True, 3)
    assert page.response.status == 200
    assert repr(page) == "Page(items=2, has_more=True)"
    assert page.answer is page.async_client.answer
    assert len(raw.seen().requests) == 1
    assert [model.id for model in page] == [MODEL["id"], MODEL["id"], "a/last"]
    last = page.next_page()
    assert not last.has_more
    with pytest.raises(OpenRouterConfigurationError, match="no page after"):
        last.next_page()


def test_an_error_on_a_later_page_comes_after_the_items_before_it(raw, client):
    _, faces = made_of(client)
    raw.script(answer({"data": [PRESET], "total_count": 2}), answer(b"", status=503))
    presets_found = iter(faces.Presets.list())
    assert next(presets_found).slug == "brief"
    with pytest.raises(ProviderUnavailableError):
        next(presets_found)


def test_a_new_key_is_shown_to_nobody(raw, client):
    _, faces = made_of(client)
    raw.script(answer({"key": "or-blocking-secret-1", "data": KEY}))
    made = faces.Keys.create("a")
    assert made.key.get_secret_value() == "or-blocking-secret-1"
    assert "or-blocking-secret-1" not in repr(made)


def test_a_face_shows_the_resource_that_does_the_work(client):
    inner, faces = made_of(client)
    assert all(getattr(faces, name).async_client is getattr(inner, name) for name in PAIRS)
