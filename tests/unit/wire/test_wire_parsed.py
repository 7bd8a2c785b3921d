"""What a parsed completion tells of how it was had, and what of that stays out of its JSON."""

import pickle

from mbxai.wire import ChatCompletion, ParsedChatCompletion, Usage, with_unique_call_ids
from mbxai.wire._parsed import total_usage_of


def completion(*, usage=None, kind=ChatCompletion):
    return kind.model_validate({"choices": [{"message": {"content": "{}"}}], "usage": usage})


def usage(prompt, completion, cost=None, cached=None):
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "cost": cost,
        "prompt_tokens_details": None if cached is None else {"cached_tokens": cached},
    }


def test_usage_is_summed_over_all_answers_and_missing_parts_count_as_nothing():
    total = total_usage_of(
        [
            completion(usage=usage(10, 5, 0.25, cached=4)),
            completion(),
            completion(usage=usage(20, 5, None, cached=6)),
            completion(usage=usage(1, 1, 0.5)),
        ]
    )
    assert (total.prompt_tokens, total.completion_tokens, total.total_tokens) == (31, 11, 42)
    assert total.cost == 0.75
    assert total.prompt_tokens_details.cached_tokens == 10
    assert total.completion_tokens_details is None


def test_a_cost_that_nobody_named_is_none_and_not_zero():
    assert total_usage_of([completion(usage=usage(1, 1))]).cost is None
    assert total_usage_of([]) == Usage()


def test_how_a_value_was_had_is_told_but_not_dumped():
    parsed = completion(usage=usage(1, 2, 0.5), kind=ParsedChatCompletion)
    before = parsed.model_dump()
    assert (parsed.strategy, parsed.validation_retries) == ("json_schema", 0)
    assert parsed.total_usage.cost == 0.5
    assert parsed.choices[0].message.repaired is False

    earlier = completion(usage=usage(3, 4, 0.25))
    parsed.set_outcome(strategy="tool", earlier=[earlier])
    parsed.choices[0].message.set_parsed({"a": 1}, repaired=True)

    assert (parsed.strategy, parsed.validation_retries) == ("tool", 1)
    assert parsed.total_usage.cost == 0.75
    assert parsed.usage.cost == 0.5
    assert parsed.choices[0].message.repaired is True
    after = parsed.model_dump()
    assert after["choices"][0]["message"].pop("parsed") == {"a": 1}
    before["choices"][0]["message"].pop("parsed")
    assert after == before


def test_how_a_value_was_had_survives_copies_and_pickle():
    parsed = completion(kind=ParsedChatCompletion)
    parsed.set_outcome(strategy="prompted", earlier=[completion(usage=usage(1, 1, 1.0))])
    parsed.choices[0].message.set_parsed(5, repaired=True)
    for copy in (parsed.model_copy(update={"usage": None}), pickle.loads(pickle.dumps(parsed))):
        assert (copy.strategy, copy.validation_retries) == ("prompted", 1)
        assert copy.total_usage.cost == 1.0
        assert copy.choices[0].message.repaired is True
    message = parsed.choices[0].message
    assert with_unique_call_ids(message).repaired is True
