"""A session whose model, tools and people do anything at all, picked by a seeded `Random`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from support.agent_player import calling, task

from mbxai.agent._human_models import DialogOption, HumanInteractionType
from mbxai.agent._result_models import TokenUsage
from mbxai.agent.machine import _tool_questions as questions
from mbxai.agent.machine._inputs import (
    ApprovalVoided,
    Input,
    ModelFailed,
    ModelRejected,
    ModelReturned,
    ToolAsked,
    ToolPolicy,
    ToolReconciled,
    ToolReturned,
    TurnStarted,
)
from mbxai.agent.machine._snapshot import (
    AgentSnapshot,
    AnswerRecord,
    FinalSchema,
    Interaction,
    Limits,
    ModelCall,
    ModelStep,
    StoredQuestion,
    ToolCall,
)
from mbxai.wire import form_fields

POLICIES = {
    "look": ToolPolicy(effect="read", is_trusted=True),
    "search": ToolPolicy(effect="read", source="web"),
    "put": ToolPolicy(effect="idempotent"),
    "send": ToolPolicy(effect="once"),
    "pay": ToolPolicy(effect="once", requires_approval=True),
}
DEFINITIONS = {name: f"{name} 1" for name in POLICIES}
RECONCILABLE = ("send", "pay")
JIRA = DialogOption(id="jira_auth", title="Jira", description="Log in")
FORM = {
    "type": "object",
    "properties": {"seat": {"type": "string"}, "meal": {"type": "boolean"}},
    "required": ["seat"],
}
ASKING = (
    ("ask_question", '{"prompt": "Which region?"}'),
    ("ask_question", "{}"),
    ("request_decision", '{"prompt": "Cloud?", "options": ["AWS", "GCP"]}'),
    ("request_decision", '{"prompt": "Cloud?", "options": []}'),
    ("open_dialog", '{"dialog_option_id": "jira_auth", "reason": "to read"}'),
    ("open_dialog", '{"dialog_option_id": "nowhere", "reason": "to read"}'),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What stands at the beginning of a run.

    Attributes:
        edges: Pairs of task numbers; the higher one depends on the lower one.
        complexities: One for each task of the first plan.
    """

    limits: Limits
    edges: Sequence[tuple[int, int]] = ()
    complexities: Sequence[int] = (1, 1)
    human_in_loop: bool = True

    def turn(self, number: int) -> TurnStarted:
        return TurnStarted(
            definitions=dict(DEFINITIONS),
            prompt=f"reach goal {number}",
            nonce="a nonce",
            final_response_structure=FinalSchema(name="Answer", json_schema={"type": "object"}),
            human_in_loop=self.human_in_loop,
            dialog_options=(JIRA,),
            limits=self.limits,
        )

    def tasks(self) -> list[dict[str, Any]]:
        keys = [f"t{number}" for number in range(len(self.complexities))]
        return [
            task(
                key,
                *dict.fromkeys(keys[low] for low, high in self.edges if low < high == number),
                complexity=self.complexities[number],
            )
            for number, key in enumerate(keys)
        ]


class World:
    """The model, the tools and the people around a session.

    Attributes:
        is_kind: Whether calls come back, and with answers of the right form; people may be asked
            and tools called all the same.
        needing: Ids of the model's calls that a person must agree to, as far as that was said.
    """

    def __init__(self, scene: Scene, course: Random) -> None:
        self.is_kind = False
        self.needing: dict[str, bool] = {}
        self._scene = scene
        self._course = course
        self._made = 0

    def happens(self, percent: int) -> bool:
        return self._course.randrange(100) < percent

    def outcome(self, snapshot: AgentSnapshot, call: ModelCall | ToolCall) -> Input:
        if isinstance(call, ToolCall):
            return self._tool(call)
        if not self.is_kind and self.happens(8):
            return ModelFailed(
                call_id=call.id,
                error_type="RateLimitError",
                message="busy",
                retryable=self.happens(85),
            )
        usage = TokenUsage(total_tokens=self._course.randrange(400), cost_usd=0.001)
        if self.happens(10):
            return ModelRejected(call_id=call.id, problems=("goal: is missing",), usage=usage)
        value = self._value(snapshot, call)
        asked = [one["id"] for one in value.get("tool_calls") or ()]
        says = asked and self.happens(30)  # of the calls in a plan nothing is said here
        needing = tuple(one for one in asked if self.happens(30)) if says else None
        if needing is not None:
            self.needing |= {one: one in needing for one in asked}
        reasons = ["stop", "stop", "stop", "length", "content_filter"]
        return ModelReturned(
            call_id=call.id,
            value=value,
            usage=usage,
            finish_reason=self._course.choice(reasons) if self.happens(20) else "stop",
            policies=POLICIES,
            needs_approval=needing,
            context_window=self._course.choice([None, None, 500]),
        )

    def other_tools(self) -> dict[str, str]:
        """Tools of which some are others than before."""
        others = {name: f"{name} {self._course.randrange(1, 4)}" for name in POLICIES}
        return {name: one for name, one in others.items() if self.happens(90)}

    # --- tools and people -------------------------------------------------------------------------

    def _tool(self, call: ToolCall) -> Input:
        if call.reconciles:
            outcome = self._course.choice(["done", "not_done", "unknown"])
            return ToolReconciled(call_id=call.id, outcome=outcome, content="it was sent")
        if call.grant and self.happens(10):
            return ApprovalVoided(call_id=call.id, tools=self.other_tools())
        if self.happens(15):
            kind = self._course.choice(["form", "url"])
            question = StoredQuestion(
                message="Where?",
                kind=kind,
                form=FORM if kind == "form" else {},
                url="https://example.test/agree" if kind == "url" else "",
                state="sealed",
            )
            return ToolAsked(call_id=call.id, question=question)
        content = f"{call.name}: {'x' * self._course.randrange(300)}"
        return ToolReturned(
            call_id=call.id, content=content, is_error=self.happens(15), has_run=self.happens(95)
        )

    def fitting(self, request: Interaction) -> AnswerRecord:
        """An answer that a request takes."""
        kind = request.interaction_type
        if request.question is not None:
            if form_fields(request.question.form) and self.happens(70):
                return AnswerRecord(response_type=kind, content={"seat": "12A", "meal": True})
            word = questions.DECLINE if self.happens(50) else questions.CANCEL
            return AnswerRecord(response_type=kind, decision=word)
        if kind is HumanInteractionType.DECISION:
            option = self._course.choice(request.options)
            return AnswerRecord(response_type=kind, decision=option, note="as you like")
        if kind is HumanInteractionType.QUESTION:
            return AnswerRecord(response_type=kind, answer="eu-west")
        return AnswerRecord(
            response_type=kind,
            dialog_option_id=request.dialog_option_id,
            provides=("secret://jira_auth/token",),
        )

    def unfit(self) -> AnswerRecord:
        """An answer that hardly any request takes."""
        kind = self._course.choice(list(HumanInteractionType))
        word = self._course.choice(["", "perhaps", None])
        return AnswerRecord(
            response_type=kind, decision=word, answer=word, dialog_option_id="nowhere"
        )

    # --- the model --------------------------------------------------------------------------------

    def _value(self, snapshot: AgentSnapshot, call: ModelCall) -> Mapping[str, Any]:
        return {
            ModelStep.REQUIREMENT: self._requirement,
            ModelStep.TOOLS: self._tools,
            ModelStep.PLAN: lambda: self._plan(snapshot),
            ModelStep.PLANNING: lambda: {
                "requirement_analysis": self._requirement(),
                "tool_analysis": self._tools(),
                "todo_list": self._plan(snapshot),
            },
            ModelStep.TASK: self._message,
            ModelStep.COMPACTION: lambda: {
                "summary": self._course.choice(["", "Done.", "y" * 500])
            },
            ModelStep.EVALUATION: self._evaluation,
            ModelStep.CONCLUSION: lambda: {
                "goal_evaluation": self._evaluation(),
                "final_response": {"text": "the answer"} if self.happens(80) else None,
            },
            ModelStep.FINAL: lambda: {"text": "the answer"},
            ModelStep.QUALITY: lambda: {"feedback": "be brief", "is_good": self.happens(40)},
        }[call.step]()

    def _requirement(self) -> dict[str, Any]:
        return {
            "goal": "the goal",
            "sub_goals": [],
            "success_criteria": ["it is reached"],
            "constraints": [],
            "complexity_estimate": 3,
        }

    def _tools(self) -> dict[str, Any]:
        names = [name for name in [*POLICIES, "nowhere"] if self.happens(40)]
        uses = [{"tool": name, "purpose": "to work"} for name in names]
        return {"relevant_tools": names, "tool_mapping": uses, "missing_capabilities": []}

    def _plan(self, snapshot: AgentSnapshot) -> dict[str, Any]:
        known = [run.key for run in snapshot.runs.values()]
        tasks = self._scene.tasks()
        if known:
            after = [key for key in known if self.happens(25)]
            tasks = [task(self._course.choice(["n", *known]), *after) for _ in range(2)]
            tasks = tasks[: self._course.randrange(3)]
        if tasks and self.happens(20):
            unfit = ["nowhere", tasks[-1]["key"], tasks[0]["key"]]
            tasks[0]["depends_on"] = [self._course.choice(unfit)]
        for planned in tasks:
            if self.happens(30):
                planned["tools_needed"] = [self._course.choice([*POLICIES, "nowhere"])]
            if snapshot.limits.planning == "merged" and self.happens(40):
                name = self._course.choice([*POLICIES, "nowhere", "ask_question"])
                arguments = self._course.choice(["{}", '{"a": 1}', "not JSON"])
                planned["tool_call"] = {"name": name, "arguments": arguments}
        return {
            "tasks": tasks,
            "retry": [key for key in [*known, "nowhere"] if self.happens(25)],
            "skip": [key for key in [*known, "nowhere"] if self.happens(10)],
            "estimated_total_time": "1 minute",
        }

    def _evaluation(self) -> dict[str, Any]:
        achieved = self.happens(60)
        is_whole = not achieved if self.happens(20) else achieved  # else it contradicts itself
        return {
            "feedback": "checked",
            "completed_criteria": ["it is reached"] if is_whole else [],
            "remaining_criteria": [] if is_whole else ["it is reached"],
            "next_steps": [],
            "completion_percentage": 100 if achieved else 40,
            "goal_achieved": achieved,
        }

    def _message(self) -> dict[str, Any]:
        if self.happens(50):
            content = "" if self.happens(10) else "done"
            return {"role": "assistant", "content": content}
        calls: list[tuple[str, str, str]] = []
        for _ in range(self._course.randrange(1, 4)):
            self._made += 1
            if self.happens(35):
                name, arguments = self._course.choice(ASKING)
            else:
                name = self._course.choice([*POLICIES, "nowhere"])
                arguments = self._course.choice(["{}", '{"n": 1}', f'{{"n": {self._made}}}', "["])
            calls.append((f"c{self._made}", name, arguments))
        return calling(*calls)
