"""Which requests a foreign page has sent, by what a browser says of them."""

import pytest

from mbxai.serving import is_foreign

OWN = {"host": "shop.example.com:8000"}


@pytest.mark.parametrize(
    ("method", "headers", "foreign"),
    [
        ("POST", {}, False),
        ("POST", {"origin": "http://shop.example.com:8000"}, False),
        ("POST", {"origin": "https://SHOP.example.com:8000"}, False),
        ("POST", {"origin": "http://shop.example.com"}, True),
        ("POST", {"origin": "http://evil.example"}, True),
        ("POST", {"origin": "null"}, True),
        ("GET", {"origin": "http://evil.example"}, False),
        ("DELETE", {"sec-fetch-site": "same-site"}, True),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "http://evil.example"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "origin": "http://desk.example"}, False),
    ],
)
def test_a_page_is_foreign_unless_it_is_ours_or_trusted(
    method: str, headers: dict[str, str], foreign: bool
) -> None:
    assert is_foreign(method, OWN | headers, {"http://desk.example"}) is foreign


def test_without_a_host_no_page_is_ours() -> None:
    assert is_foreign("POST", {"origin": "http://evil.example"})
