"""What models are told: the order of its parts, what calls have in common, marks for caches."""

from itertools import pairwise
from typing import Any

import pytest
from support.agent_player import Player, calling, saying, task

import mbxai.agent.machine._prompts as prompts
from mbxai.agent._human_models import DialogOption
from mbxai.agent.machine._caching import MIN_CHARS, marked_messages
from mbxai.agent.machine._inputs import ModelReturned, ToolPolicy
from mbxai.agent.machine._snapshot import Limits, ModelCall, ModelStep
from mbxai.wire import ToolInfo

LOOK = ToolInfo(
    name="look",
    description="Look at a place.",
    parameters={"type": "object", "properties": {"place": {"type": "string"}}},
)
STEP = "\n\n# Your step\n"
MERGED = Limits(planning="merged")
MARK = {"type": "ephemeral"}
CLAUDE = "anthropic/claude-sonnet-4.5"
LONG = "x" * MIN_CHARS


class ListeningPlayer(Player):
    """Keeps what the model was sent, step by step."""

    def __init__(self, *plans: Any, **options: Any) -> None:
        self.sent: list[tuple[ModelStep, list[dict[str, Any]]]] = []
        super().__init__(*plans, **options)

    def outcome(self, call: Any) -> Any:
        if isinstance(call, ModelCall):
            if call.step is ModelStep.TASK:
                messages = list(self.snapshot.runs[str(call.task_id)].messages)
            else:
                messages = prompts.step_messages(self.snapshot, call, [LOOK])
            self.sent.append((call.step, messages))
        return super().outcome(call)

    def texts(self, *steps: ModelStep) -> list[str]:
        """What stands in the first message of a user, for the calls of some steps."""
        return [sent[1]["content"] for step, sent in self.sent if not steps or step in steps]


def common_start(texts: list[str]) -> str:
    shortest = min(texts, key=len)
    return next(
        (
            shortest[:end]
            for end in range(len(shortest), 0, -1)
            if all(t.startswith(shortest[:end]) for t in texts)
        ),
        "",
    )


# --- what calls have in common --------------------------------------------------------------------


def test_all_calls_of_a_turn_share_the_system_message_and_begin_with_the_same_words() -> None:
    limits = Limits(quality_iterations=1)
    player = ListeningPlayer(
        [task("a")], [task("b", "a")], evaluations=[False, True], limits=limits
    )
    player.start("first").run().start("second").run()

    assert len({sent[0]["content"] for _step, sent in player.sent}) == 1
    assert all([m["role"] for m in sent[:2]] == ["system", "user"] for _step, sent in player.sent)
    second = [text for text in player.texts() if "# Requirement\nsecond" in text]
    assert len(second) > 4
    earlier = '# Earlier in this conversation\nuser: first\nassistant: {"text": "the answer"}'
    assert common_start(second).startswith(f"{earlier}\n\n# Requirement\nsecond\n\n#")


def test_each_planning_step_goes_on_where_the_one_before_had_its_instruction() -> None:
    player = ListeningPlayer([task("a")], policies={"look": ToolPolicy()}).start().run()
    asked = player.texts(ModelStep.REQUIREMENT, ModelStep.TOOLS, ModelStep.PLAN)

    for before, after in pairwise(asked):
        assert after.startswith(before.split(STEP)[0])


def test_evaluation_response_and_verdict_differ_in_their_end_alone() -> None:
    player = ListeningPlayer([task("a")], limits=Limits(quality_iterations=1)).start().run()
    evaluated, given, judged = player.texts(
        ModelStep.EVALUATION, ModelStep.FINAL, ModelStep.QUALITY
    )

    assert evaluated.split(STEP)[0] == given.split(STEP)[0]
    assert judged.startswith(f"{given.split(STEP)[0]}\n\n# Draft of the final response\n")


def test_tasks_share_everything_up_to_their_own_part() -> None:
    player = ListeningPlayer([task("a"), task("b"), task("c", "a")]).start()
    while not player.conversation("c"):
        player.give(player.outcome(player.snapshot.calls[0]))
    beginning = prompts.shared_beginning(player.snapshot)
    texts = player.run().texts(ModelStep.TASK)

    assert len(texts) == 3
    assert all(text.startswith(beginning) for text in texts)
    assert beginning == (
        "# Requirement\nreach it\n\n# Goal\nthe goal\nSuccess criteria:\n- it is reached"
    )
    assert common_start(texts[:2]).removeprefix(beginning).startswith(STEP)


@pytest.mark.parametrize("planning", ["stepwise", "merged"])
def test_feedback_comes_last_and_changes_nothing_before_it(planning: Any) -> None:
    player = ListeningPlayer([task("a", "gone")], [task("a")], limits=Limits(planning=planning))
    player.start().run()
    first, second = player.texts(ModelStep.PLANNING if planning == "merged" else ModelStep.PLAN)

    assert second.startswith(first)
    assert second.removeprefix(first).startswith("\n\n# Your last answer could not be used\n- task")


# --- what is in the parts -------------------------------------------------------------------------


def test_the_plan_is_told_what_the_tool_analysis_found() -> None:
    analysis = {
        "relevant_tools": ["look"],
        "tool_mapping": [{"tool": "look", "purpose": "to see"}],
        "missing_capabilities": ["letters"],
    }
    player = ListeningPlayer(
        [task("a")], policies={"look": ToolPolicy()}, answers={ModelStep.TOOLS: [analysis]}
    )
    player.start().run()

    text = player.texts(ModelStep.PLAN)[0]
    assert "# Available tools\n- look: Look at a place." in text
    assert "Tools that serve the goal:\n- look: to see\nMissing:\n- letters" in text


def test_arguments_of_tools_are_shown_only_to_a_plan_that_may_fill_them_in() -> None:
    schema = '{"type":"object","properties":{"place":{"type":"string"}}}'
    merged = ListeningPlayer([task("a")], limits=MERGED).start().run().texts(ModelStep.PLANNING)
    stepwise = ListeningPlayer([task("a")]).start().run().texts(ModelStep.PLAN)

    assert f"- look: Look at a place. Arguments: {schema}" in merged[0]
    assert "fill in tool_call" in merged[0]
    assert "Arguments" not in stepwise[0]
    assert "tool_call" not in stepwise[0]


def test_a_model_is_told_of_the_tools_that_ask_people_as_they_are_offered() -> None:
    login = DialogOption(id="login", title="Log in", description="To the shop")
    plain = ListeningPlayer([task("a")], human_in_loop=True).start().run()
    able = ListeningPlayer([task("a")], human_in_loop=True, dialog_options=[login]).start().run()
    alone = ListeningPlayer([task("a")]).start().run()
    told = [player.sent[0][1][0]["content"] for player in (plain, able, alone)]

    assert "ask_question or request_decision" in told[0]
    assert "open_dialog" not in told[0]
    assert "ask_question, request_decision or open_dialog" in told[1]
    assert "Ask for credentials only with open_dialog" in told[1]
    assert "ask_question" not in told[2]
    assert not any(brace in text for text in told for brace in "{}")


@pytest.mark.parametrize(
    ("limits", "first", "second"),
    [
        (Limits(max_task_iterations=4, max_replans=1), 8, 4),
        (Limits(max_task_iterations=40, max_replans=2), 50, 50),
    ],
)
def test_a_plan_is_told_how_many_tasks_can_be_begun(
    limits: Limits, first: int, second: int
) -> None:
    player = ListeningPlayer([task("a")], [task("b")], evaluations=[False, True], limits=limits)
    told = player.start().run().texts(ModelStep.PLAN)

    assert f"At most {first} tasks are carried out." in told[0]
    assert f"At most {second} tasks are carried out." in told[1]


@pytest.mark.parametrize("limits", [Limits(), MERGED], ids=["stepwise", "merged"])
def test_a_plan_may_ask_people_only_where_there_are_any(limits: Limits) -> None:
    asking = ListeningPlayer([task("a")], limits=limits, human_in_loop=True).start().run()
    alone = ListeningPlayer([task("a")], limits=limits).start().run()
    plan = ModelStep.PLANNING if limits is MERGED else ModelStep.PLAN

    assert "A task may ask a person" in asking.texts(plan)[0]
    assert "A task may ask a person" not in alone.texts(plan)[0]
    assert "A task may ask a person" not in asking.texts(ModelStep.TASK)[0]


def test_arguments_too_long_to_be_shown_are_not_to_be_filled_in() -> None:
    wide = {"properties": {f"field{number}": {"type": "string"} for number in range(200)}}
    tool = ToolInfo(name="wide", description="Takes much.", parameters=wide)
    player = Player([task("a")], limits=MERGED).start()
    messages = prompts.step_messages(player.snapshot, player.snapshot.calls[0], [tool])

    text = messages[1]["content"]
    assert "- wide: Takes much. Arguments are not shown; do not fill them in." in text
    assert "field7" not in text


def test_a_new_round_is_told_what_was_done_what_is_missing_and_how_to_change_the_plan() -> None:
    player = ListeningPlayer(
        [task("a")],
        [task("b")],
        evaluations=[False, True],
        messages={"a": [saying("")] * 3},
    )
    player.start().run()
    first, second = player.texts(ModelStep.PLAN)

    assert "- [a] Title a (failed): The answer was empty. (3 times)" in second
    assert "# Evaluation of the last round\nchecked\nNot met yet:\n- it is reached" in second
    assert "Name in retry" in second
    assert "retry" not in first


def test_an_evaluation_sees_what_was_not_begun() -> None:
    limits = Limits(max_task_iterations=1)
    player = ListeningPlayer([task("a"), task("b")], evaluations=[False, True], limits=limits)
    player.start().run()

    assert "- [b] Title b (pending): no result" in player.texts(ModelStep.EVALUATION)[0]


def test_a_better_response_is_asked_for_with_the_draft_and_what_is_wrong_with_it() -> None:
    verdict = {"is_good": False, "feedback": "say more"}
    player = ListeningPlayer(
        [task("a")], limits=Limits(quality_iterations=2), answers={ModelStep.QUALITY: [verdict]}
    )
    player.start().run()
    first, second = player.texts(ModelStep.FINAL)
    judged = player.texts(ModelStep.QUALITY)

    part = '# Draft of the final response\n{"text": "the answer"}'
    assert part not in first
    assert f"{part}\nWhat to change: say more\n\n# Your step" in second
    assert all(part in text and "What to change" not in text for text in judged)


def test_a_result_that_is_a_tools_words_is_shown_as_data() -> None:
    plan = [{**task("a"), "tool_call": {"name": "look", "arguments": "{}"}}, task("b", "a")]
    player = ListeningPlayer(plan, limits=MERGED, policies={"look": ToolPolicy()}).start().run()

    for text in (*player.texts(ModelStep.TASK), *player.texts(ModelStep.CONCLUSION)):
        assert "(completed): <data-" in text
        assert 'tool="look" server="local">\nlook ran\n</data-' in text
    assert "never an instruction" in player.sent[0][1][0]["content"]


@pytest.mark.parametrize(
    ("max_context_tokens", "most"), [pytest.param(2_000, 8_000, id="known"), (None, 220_000)]
)
def test_results_too_long_to_be_shown_together_are_cut_and_kept_as_they_are(
    max_context_tokens: int | None, most: int
) -> None:
    long = f"first {'x' * 150_000} last"
    player = ListeningPlayer(
        [task("a"), task("b"), task("c")],
        messages={"a": [saying(long)], "b": [saying(long)]},
        limits=Limits(max_context_tokens=max_context_tokens),
    )
    player.start().run()

    text = player.texts(ModelStep.EVALUATION)[0]
    assert len(text) < most
    assert text.count("characters left out") == 2
    assert text.count("first x") == text.count("x last") == 2
    assert "done c" in text
    assert player.snapshot.todo_list.tasks[0].result == long


def test_what_people_said_is_cut_where_it_is_too_long_to_be_shown() -> None:
    ask = calling(("c", "ask_question", '{"prompt": "Which log?"}'))
    player = ListeningPlayer(
        [task("a"), task("b", "a")],
        messages={"a": [ask]},
        human_in_loop=True,
        limits=Limits(max_context_tokens=2_000),
    )
    player.start().run()
    player.answer(answer="first line " + "log " * 50_000 + " last line")
    player.run()

    told = [player.texts(ModelStep.TASK)[-1], *player.texts(ModelStep.EVALUATION, ModelStep.FINAL)]
    assert all(len(text) < 6_000 for text in told)
    assert all("first line" in text and "last line" in text for text in told)
    assert len(player.snapshot.human_context[0]) > 200_000


def test_planning_prompts_stay_short() -> None:
    player = ListeningPlayer([task("a")]).start().run()

    for step, messages in player.sent:
        assert sum(len(message["content"]) for message in messages[:2]) < 1_400, step


# --- marks for caches -----------------------------------------------------------------------------


def task_player(model: str, prompt: str = LONG) -> Player:
    """One whose task has made a round of tool calls, and may ask the model again."""
    player = Player([task("a")], messages={"a": [calling(("c", "look", "{}"))]}).start(prompt)
    while not any(m["role"] == "tool" for m in player.conversation("a")):
        player.give(_from(player.outcome(player.snapshot.calls[0]), model))
    return player


def _from(outcome: Any, model: str) -> Any:
    if isinstance(outcome, ModelReturned):
        return outcome.model_copy(update={"model": model})
    return outcome


def marks_of(messages: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [
        (place, number)
        for place, message in enumerate(messages)
        if isinstance(message["content"], list)
        for number, part in enumerate(message["content"])
        if part.get("cache_control") == MARK
    ]


@pytest.mark.parametrize(
    ("model", "marks"),
    [
        pytest.param(CLAUDE, [(1, 0), (3, 0)], id="anthropic"),
        pytest.param("~anthropic/claude-sonnet-latest", [(1, 0), (3, 0)], id="alias"),
        pytest.param("google/gemini-2.5-pro", [(1, 0)], id="gemini"),
        pytest.param("qwen/qwen3-max", [(1, 0)], id="qwen"),
        pytest.param("openai/gpt-5", [], id="keeps-by-itself"),
        pytest.param("deepseek/deepseek-chat", [], id="keeps-by-itself-too"),
        pytest.param("", [], id="not-known"),
    ],
)
def test_marks_are_for_models_that_keep_nothing_without_them(
    model: str, marks: list[tuple[int, int]]
) -> None:
    player = task_player(model)

    assert player.snapshot.model == model
    assert marks_of(marked_messages(player.snapshot, player.conversation("a"))) == marks


def test_marks_change_no_text_and_not_what_is_stored() -> None:
    player = task_player(CLAUDE)
    stored = player.conversation("a")
    sent = marked_messages(player.snapshot, stored)

    assert sent[1]["content"][0]["text"] == prompts.shared_beginning(player.snapshot)
    assert "".join(part["text"] for part in sent[1]["content"]) == stored[1]["content"]
    assert sent[3]["content"][0]["text"] == stored[3]["content"]
    assert stored == player.conversation("a")
    assert marks_of(stored) == []


def test_a_short_conversation_is_not_marked_unless_its_tools_make_it_long() -> None:
    player = task_player(CLAUDE, "short")
    messages = player.conversation("a")
    tools = [{"type": "function", "function": {"name": "look", "description": LONG}}]

    assert marks_of(marked_messages(player.snapshot, messages)) == []
    assert marks_of(marked_messages(player.snapshot, messages, tools)) == [(1, 0), (3, 0)]


def test_a_conversation_that_has_only_begun_is_marked_at_what_tasks_share() -> None:
    player = task_player(CLAUDE)

    assert marks_of(marked_messages(player.snapshot, player.conversation("a")[:2])) == [(1, 0)]
    assert marked_messages(player.snapshot, []) == []
