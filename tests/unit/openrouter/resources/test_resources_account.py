"""What is worked out of the numbers of an account."""

import pytest

from mbxai.openrouter.resources.account import CreditBalance


@pytest.mark.parametrize(
    ("fields", "remaining"),
    [
        ({"total_credits": 10, "total_usage": 2.5}, 7.5),
        ({"total_credits": 1, "total_usage": 2}, -1),
        ({"total_credits": 1}, None),
        ({"total_credits": None, "total_usage": 0}, None),
    ],
)
def test_credits_remain_only_where_both_numbers_are_known(fields, remaining):
    assert CreditBalance.from_object(fields).remaining == remaining
