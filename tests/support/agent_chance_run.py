"""Runs a session by chance, and checks after every input what must always hold of it."""

import json
from collections.abc import Iterable
from itertools import pairwise
from random import Random

from support.agent_chance import POLICIES, RECONCILABLE, Scene, World

from mbxai.agent._plan_models import Task, TaskStatus
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine import _transitions as transitions
from mbxai.agent.machine._inputs import (
    ApprovalVoided,
    Continued,
    DefinitionSeen,
    FinalStructureChanged,
    HumanAnswered,
    Input,
    Ticked,
    ToolReconciled,
    ToolStarted,
    TurnCancelled,
    TurnStarted,
)
from mbxai.agent.machine._machine import Advance, advance
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    AnswerRecord,
    FinalSchema,
    ModelCall,
    ToolCall,
)
from mbxai.errors import InteractionError

MOST_STEPS = 3000
"""Inputs after which a run that still goes on would go on for ever."""

_ALLOWED = {(change.source, change.target) for change in transitions.TRANSITIONS}
_STEP_STATES = {
    AgentState.ANALYZING_REQUIREMENT,
    AgentState.ANALYZING_TOOLS,
    AgentState.GENERATING_TODO,
    AgentState.EVALUATING_GOAL,
}


class ChanceRun:
    """One session.

    Attributes:
        snapshot: Its state.
        refused: Answers that were refused.
        repeated: Inputs that were given a second time.
        crashes: How often all calls under way were lost.
    """

    def __init__(
        self, scene: Scene, course: Random, *, crash_percent: int = 4, repeat_percent: int = 15
    ) -> None:
        self.snapshot = AgentSnapshot(agent_id="agent-1")
        self.refused = self.repeated = self.crashes = 0
        self.world = World(scene, course)
        self._scene = scene
        self._course = course
        self._crash_percent = crash_percent
        self._repeat_percent = repeat_percent
        self._now = 1_000_000.0
        self._past: list[Input] = []
        self._under_way: set[str] = set()
        self._ids: set[str] = set()
        self._started_once: set[tuple[int, str, str, int]] = set()
        self._keys: dict[tuple[int, str, str], str] = {}
        self.give(scene.turn(1))

    # --- inputs -----------------------------------------------------------------------------------

    def give(self, given: Input, *, is_repeated: bool = False) -> None:
        """Apply an input and check what must hold; the state goes through its stored form."""
        before = self.snapshot
        if not is_repeated:
            given = given.model_copy(update={"now": self._now})
        text = before.model_dump_json()
        step = advance(before, given)
        assert before.model_dump_json() == text, "the state that was given is changed"
        stored = AgentSnapshot.model_validate(json.loads(text))
        assert stored == before
        assert advance(stored, given) == step, "the stored state goes on otherwise"
        if is_repeated:
            assert step == Advance(before, (), ()), "an input that came twice changes something"
            self.repeated += 1
            return
        self._check_new(before, step, begins_turn=isinstance(given, TurnStarted))
        check_state(step.snapshot)
        if isinstance(given, ToolStarted):
            self._check_starts(before, given)
        self._note_permission(before, given)
        self.snapshot = self._course.choice([step.snapshot, _stored(step.snapshot)])
        self._past.append(given)

    def answer(self, interaction_id: str, record: AnswerRecord) -> None:
        """Give an answer that may be refused, and then changes nothing."""
        before, count = self.snapshot.model_dump_json(), self.refused
        try:
            self.give(HumanAnswered(interaction_id=interaction_id, answer=record))
        except InteractionError:
            self.refused += 1
        assert count == self.refused or self.snapshot.model_dump_json() == before

    # --- the course of things ---------------------------------------------------------------------

    def play(self, steps: int) -> "ChanceRun":
        """Let this many things happen, or fewer if the session rests for good."""
        while steps and self._step():
            steps -= 1
        return self

    def _step(self) -> bool:
        if self.world.happens(self._repeat_percent):
            self._repeat()
        if self.world.happens(self._crash_percent):
            self._crash()
        if self.world.happens(5):
            self._now += self._course.randrange(60)
            self.give(Ticked())
        if self.world.happens(3) and (self.snapshot.calls or self.snapshot.open_interactions()):
            self.give(DefinitionSeen(tools=self.world.other_tools()))
        if self.world.happens(3) and self.snapshot.calls:
            schema = FinalSchema(name="Other", json_schema={})
            self.give(FinalStructureChanged(final_response_structure=schema))
        if self.snapshot.interactions and self.world.happens(15):
            self._say_anything()
        if self.world.happens(1) and self.world.happens(25):
            self._cancel()
        return self._go_on()

    def to_rest(self) -> int:
        """Let calls come back and people answer until nothing is open; count the inputs."""
        self.world.is_kind = True
        before = len(self._past)
        while self._go_on():
            assert len(self._past) - before < MOST_STEPS, "the run does not come to rest"
        return len(self._past) - before

    def inputs(self) -> set[str]:
        """The kinds of inputs that were given."""
        return {type(given).__name__ for given in self._past}

    def again(self) -> None:
        """Begin another turn."""
        self.give(self._scene.turn(self.snapshot.turn + 1))

    def _go_on(self) -> bool:
        snapshot = self.snapshot
        self._under_way &= {call.id for call in snapshot.calls}
        if snapshot.error is not None:
            # Calls of the model are stopped; tools that run are waited for.
            self._under_way -= {c.id for c in snapshot.calls if isinstance(c, ModelCall)}
            if not self._under_way and snapshot.error.retryable and snapshot.calls:
                self.give(self._continued())
                return True
        else:
            self._launch(call for call in snapshot.calls if call.id not in self._under_way)
            if not self.world.is_kind and self.world.happens(self._crash_percent):
                self._crash()  # what has just begun is lost
                return True
        if self._under_way:
            call_id = self._course.choice(sorted(self._under_way))
            self._under_way.discard(call_id)
            call = next(c for c in self.snapshot.calls if c.id == call_id)
            self.give(self.world.outcome(self.snapshot, call))
            return True
        if open_ := self.snapshot.open_interactions():
            request = self._course.choice(open_)
            self.answer(request.id, self.world.fitting(request))
            return True
        return bool(snapshot.calls) and not self.world.is_kind  # none of them was begun yet

    def _launch(self, calls: Iterable[ModelCall | ToolCall]) -> None:
        starting = [call for call in calls if self.world.is_kind or self.world.happens(70)]
        tools = tuple(call.id for call in starting if isinstance(call, ToolCall))
        if tools:
            self.give(ToolStarted(call_ids=tools))
        self._under_way |= {call.id for call in starting}

    def _crash(self) -> None:
        """Lose what is under way; another worker goes on."""
        error = self.snapshot.error
        if self.snapshot.calls and (error is None or error.retryable):
            self._under_way.clear()
            self.crashes += 1
            self.give(self._continued())

    def _cancel(self) -> None:
        """Have the turn end, once no tool is under way."""
        tools = {call.id for call in self.snapshot.calls if isinstance(call, ToolCall)}
        if not self._under_way & tools:
            could_be = self.snapshot.can_be_cancelled
            self.give(TurnCancelled())
            assert not self.snapshot.can_be_cancelled
            assert not could_be or self.snapshot.error.type == "Cancelled"
            assert not self.snapshot.open_interactions()

    def _continued(self) -> Continued:
        return Continued(reconcilable=RECONCILABLE if self.world.happens(40) else ())

    def _repeat(self) -> None:
        """Give an input of earlier a second time, unless its call is open again."""
        open_ids = {call.id for call in self.snapshot.calls}
        started = {c.id for c in self.snapshot.calls if isinstance(c, ToolCall) and c.started}
        given = self._course.choice(self._past)
        if isinstance(given, HumanAnswered):
            try:
                self.give(given, is_repeated=True)
            except InteractionError:  # its turn is over, or its time
                self.refused += 1
        elif isinstance(given, ToolStarted):
            if not (open_ids - started) & set(given.call_ids):
                self.give(given, is_repeated=True)
        elif isinstance(given, Ticked) or getattr(given, "call_id", None) not in {None, *open_ids}:
            self.give(given, is_repeated=True)

    def _say_anything(self) -> None:
        request = self._course.choice(self.snapshot.interactions)
        kind = self._course.randrange(4)
        if kind == 0:
            self.answer("no-such-request", self.world.unfit())
        elif kind == 1:
            self.answer(request.id, self.world.unfit())
        else:
            self.answer(request.id, self.world.fitting(request))

    # --- what must hold of a step -----------------------------------------------------------------

    def _check_new(self, before: AgentSnapshot, step: Advance, *, begins_turn: bool) -> None:
        after = step.snapshot
        numbers = [event.seq for event in step.events]
        assert numbers == list(range(before.event_sequence + 1, after.event_sequence + 1))
        states = [event.state for event in step.events if event.type == "state_changed"]
        assert set(pairwise([before.state, *states])) <= _ALLOWED
        assert [before.state, *states][-1] is after.state
        old_tasks = [] if begins_turn or not before.todo_list else before.todo_list.tasks
        tasks = after.todo_list.tasks if after.todo_list else []
        new = [call.id for call in step.commands]
        new += [i.id for i in after.interactions if i.id not in {b.id for b in before.interactions}]
        new += [task.id for task in tasks if task.id not in {old.id for old in old_tasks}]
        assert len(set(new)) == len(new)
        assert not self._ids & set(new)
        self._ids |= set(new)

    def _check_starts(self, before: AgentSnapshot, given: ToolStarted) -> None:
        starting = [c for c in before.calls if isinstance(c, ToolCall) and c.id in given.call_ids]
        assert len(starting) == len(given.call_ids)
        for call in starting:
            assert not call.started, f"{call.name} runs already"
            assert call.name in POLICIES
            if call.reconciles:
                assert call.effect == "once"
                continue
            call_of = (before.turn, call.task_id, call.call_id)
            if call.attempt or call.questions:
                assert self._keys[call_of] == (call.key or call.id), "another key than before"
            self._keys[call_of] = call.key or call.id
            if self.world.needing.get(call.call_id, POLICIES[call.name].requires_approval):
                assert call.approved, f"{call.name} runs without the approval that it needs"
            if call.effect == "once":
                # A run that goes on with the answer to a question is the same run.
                run = (before.turn, call.task_id, call.call_id, call.questions)
                assert run not in self._started_once, f"{call.name} runs a second time"
                self._started_once.add(run)

    def _note_permission(self, before: AgentSnapshot, given: Input) -> None:
        """Note what lets a call run once more that must run once."""
        again: ToolCall | None = None
        if isinstance(given, ToolReconciled) and given.outcome == "not_done":
            again = next(
                c for c in before.calls if isinstance(c, ToolCall) and c.id == given.call_id
            )
        elif isinstance(given, HumanAnswered) and given.answer.decision == "run it again":
            asked = next(i for i in before.interactions if i.id == given.interaction_id)
            again = asked.paused if asked.answer is None and not asked.withdrawn else None
        elif isinstance(given, ApprovalVoided):
            again = next(
                c for c in before.calls if isinstance(c, ToolCall) and c.id == given.call_id
            )
        if again is not None:
            run = (before.turn, again.task_id, again.call_id, again.questions)
            self._started_once.discard(run)


def _stored(snapshot: AgentSnapshot) -> AgentSnapshot:
    return AgentSnapshot.model_validate_json(snapshot.model_dump_json())


def check_state(snapshot: AgentSnapshot) -> None:
    """Check what must hold of every state."""
    state = snapshot.state
    assert (state is AgentState.FAILED) is (snapshot.error is not None)
    assert (state is AgentState.COMPLETED) is (snapshot.final_response is not None)
    if state is AgentState.COMPLETED:
        assert snapshot.calls == ()
        assert snapshot.open_interactions() == ()
        assert snapshot.goal_evaluation is not None
        assert snapshot.goal_evaluation.goal_achieved or is_accepted(snapshot)
    elif state is AgentState.WAITING_FOR_HUMAN:
        assert snapshot.calls == ()
        assert snapshot.open_interactions()
    elif state is AgentState.EXECUTING_TASKS:
        assert snapshot.calls
    elif state in _STEP_STATES:
        assert [call.task_id for call in snapshot.calls] == [None]
    assert snapshot.iteration_count <= snapshot.limits.max_task_iterations
    assert len(snapshot.ledger) == snapshot.model_calls
    assert sum(u.total_tokens for u in snapshot.ledger) == snapshot.token_summary.total_tokens
    _check_tasks(snapshot)


def is_accepted(snapshot: AgentSnapshot) -> bool:
    """Tell whether somebody took what there is for a goal that is not reached."""
    asked = [i for i in snapshot.interactions if i.purpose == "goal"]
    deadline = snapshot.limits.deadline
    return any(
        i.answer.decision == "accept"
        if i.answer is not None
        else i.expired and deadline is not None and deadline.goal == "accept"
        for i in asked
    )


def _check_tasks(snapshot: AgentSnapshot) -> None:
    tasks = {task.id: task for task in snapshot.todo_list.tasks} if snapshot.todo_list else {}
    assert set(tasks) == set(snapshot.runs)
    for task in tasks.values():
        if task.status in (TaskStatus.COMPLETED, TaskStatus.IN_PROGRESS):
            for needed in task.dependencies:
                is_done = tasks[needed].status is TaskStatus.COMPLETED
                assert is_done or snapshot.runs[needed].skipped_by_person
        if task.status is TaskStatus.COMPLETED:
            assert task.result
        if task.status in (TaskStatus.FAILED, TaskStatus.SKIPPED):
            assert task.error_message
    working = {key for key, task in tasks.items() if task.status is TaskStatus.IN_PROGRESS}
    owners = {call.task_id for call in snapshot.calls if call.task_id}
    owners |= {i.task_id for i in snapshot.open_interactions() if i.purpose != "goal"}
    assert owners <= working
    if snapshot.state in (AgentState.EXECUTING_TASKS, AgentState.WAITING_FOR_HUMAN):
        assert owners == working
    if snapshot.state not in (AgentState.GENERATING_TODO, AgentState.FAILED):
        _check_blocked(snapshot, tasks)


def _check_blocked(snapshot: AgentSnapshot, tasks: dict[str, Task]) -> None:
    for task in tasks.values():
        if task.status is TaskStatus.PENDING:
            for needed in task.dependencies:
                is_lost = tasks[needed].status in (TaskStatus.FAILED, TaskStatus.SKIPPED)
                assert not is_lost or snapshot.runs[needed].skipped_by_person
