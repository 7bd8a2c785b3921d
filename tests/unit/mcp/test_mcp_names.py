import re

from hypothesis import given
from hypothesis import strategies as st

from mbxai.mcp.registry._names import exposed_names


def test_a_usable_name_stays_as_it_is() -> None:
    assert exposed_names("files", ["read", "write_all-2"], []) == {
        "read": "read",
        "write_all-2": "write_all-2",
    }


def test_a_name_that_somebody_else_has_gets_the_servers_name_before_it() -> None:
    assert exposed_names("web search", ["get"], ["get"]) == {"get": "web_search__get"}


def test_of_two_names_that_look_alike_the_usable_one_wins_whatever_the_order() -> None:
    chosen = exposed_names("s", ["a.b", "a_b"], [])
    assert chosen["a_b"] == "a_b"
    assert chosen["a.b"] == "s__a_b"
    assert chosen == exposed_names("s", ["a_b", "a.b"], [])


def test_long_names_with_the_same_beginning_stay_apart() -> None:
    first, second = "n" * 99 + "1", "n" * 99 + "2"
    chosen = exposed_names("s", [first, second], [])
    assert len(set(chosen.values())) == 2
    assert all(name.startswith("n" * 50) for name in chosen.values())


def test_a_long_name_does_not_depend_on_its_neighbours() -> None:
    alone = exposed_names("s", ["n" * 99], [])
    among_others = exposed_names("s", ["a", "n" * 99, "z"], ["b"])
    assert among_others["n" * 99] == alone["n" * 99]


@given(
    st.text(max_size=80),
    st.lists(st.text(max_size=130), unique=True, max_size=8),
    st.lists(st.from_regex(r"[a-c_]{1,3}", fullmatch=True), max_size=8),
)
def test_every_name_is_one_that_a_model_may_use_and_nobody_else_has(
    server: str, names: list[str], taken: list[str]
) -> None:
    chosen = exposed_names(server, names, taken)
    assert set(chosen) == set(names)
    assert len(set(chosen.values())) == len(names)
    assert not set(chosen.values()) & set(taken)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in chosen.values())


def test_a_prefix_is_put_before_each_name() -> None:
    assert exposed_names("web", ["get"], [], prefix=True) == {"get": "web__get"}
    assert exposed_names("web", ["get"], [], prefix="w.") == {"get": "w_get"}
    assert exposed_names("web", ["get"], ["w_get"], prefix="w_") == {"get": "web__get"}
    clash = exposed_names("web", ["get"], ["web__get"], prefix=True)["get"]
    assert re.fullmatch(r"get_[0-9a-f]{8}", clash)


def test_hidden_characters_are_no_part_of_a_name() -> None:
    assert exposed_names("s", ["re\u200bad"], []) == {"re\u200bad": "read"}
    both = exposed_names("s", ["re\u200bad", "read"], [])
    assert both == {"read": "read", "re\u200bad": "s__read"}


def test_a_tool_keeps_its_name_as_long_as_nobody_else_has_it() -> None:
    known = {"get": "b__get"}
    assert exposed_names("b", ["get", "put"], [], known=known) == {"get": "b__get", "put": "put"}
    assert exposed_names("b", ["get"], ["b__get"], known=known) == {"get": "get"}
    # A new tool does not push an old one aside.
    assert exposed_names("b", ["a", "x"], [], known={"x": "a"})["a"] != "a"
