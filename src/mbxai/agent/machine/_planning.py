"""Steps 1 to 3 in the machine: analyses and plan. Pure."""

import mbxai.agent.machine._plan as plan
import mbxai.agent.machine._plan_checks as checks
import mbxai.agent.machine._plan_repairs as repairs
import mbxai.agent.machine._rejections as rejections
import mbxai.agent.machine._tasks as tasks
from mbxai.agent._events import PlanChanged
from mbxai.agent._plan_models import RequirementAnalysis, TaskStatus, TodoList
from mbxai.agent._result_models import AgentState
from mbxai.agent.machine._drafts import (
    PlanDraft,
    PlanningDraft,
    RequirementDraft,
    TaskDraft,
    ToolAnalysisDraft,
    plan_type,
)
from mbxai.agent.machine._inputs import ModelReturned
from mbxai.agent.machine._snapshot import ModelCall, ModelStep, TaskRun
from mbxai.agent.machine._work import Work

LEFT_OUT = "The new plan does without it."
_MAX_GOAL_CHARS = 4000


def on_requirement(work: Work, call: ModelCall, event: ModelReturned) -> None:
    draft = rejections.draft_of(work, call, event, RequirementDraft)
    if draft is not None:
        _take_requirement(work, draft)
        work.call_model(ModelStep.TOOLS)


def on_tools(work: Work, call: ModelCall, event: ModelReturned) -> None:
    draft = rejections.draft_of(work, call, event, ToolAnalysisDraft)
    if draft is not None:
        _take_tools(work, draft, event)
        work.call_model(ModelStep.PLAN)


def on_plan(work: Work, call: ModelCall, event: ModelReturned) -> None:
    draft = rejections.draft_of(work, call, event, plan_type(work.snapshot))
    if draft is not None and _may_take(work, call, draft):
        _take_plan(work, draft, event)


def on_planning(work: Work, call: ModelCall, event: ModelReturned) -> None:
    """Take both analyses and the plan; the states are gone through as in three steps."""
    draft = rejections.draft_of(work, call, event, PlanningDraft)
    if draft is not None and _may_take(work, call, draft.todo_list):
        _take_requirement(work, draft.requirement_analysis)
        _take_tools(work, draft.tool_analysis, event)
        _take_plan(work, draft.todo_list, event)


def _take_requirement(work: Work, draft: RequirementDraft) -> None:
    work.update(requirement_analysis=RequirementAnalysis.model_validate(draft.model_dump()))
    work.enter(AgentState.ANALYZING_TOOLS)


def _take_tools(work: Work, draft: ToolAnalysisDraft, event: ModelReturned) -> None:
    work.update(tool_analysis=plan.tool_analysis(draft, list(event.policies)))
    work.enter(AgentState.GENERATING_TODO)


def _may_take(work: Work, call: ModelCall, draft: PlanDraft) -> bool:
    """Ask again for a plan with problems; the last one that may be asked for is repaired."""
    problems = checks.plan_problems(draft, _before(work))
    if not problems or call.attempt >= work.snapshot.limits.max_answer_attempts:
        return True
    rejections.reject(work, call, tuple(problems), "PlanError")
    return False


def _take_plan(work: Work, draft: PlanDraft, event: ModelReturned) -> None:
    before = _before(work)
    made = repairs.repaired_plan(draft, before, _goal_task(work))
    ids = [work.new_id() for _ in made.tasks]
    known = {**before.lost, **before.finished}
    planned = plan.planned_tasks(made.tasks, ids, known, list(event.policies))
    keys = {*known, *(task.key for task in made.tasks)}
    calls = [
        plan.planned_call(task, event.policies, keys, event.needs_approval) for task in made.tasks
    ]
    _change_lost_tasks(work, made, before)
    work.update(
        todo_list=TodoList(
            tasks=[*work.tasks(), *(task for _key, task in planned)],
            estimated_total_time=draft.estimated_total_time,
        ),
        runs={
            **work.snapshot.runs,
            **{
                task.id: TaskRun(key=key, planned=call)
                for (key, task), call in zip(planned, calls, strict=True)
            },
        },
    )
    _name_tools(work)
    if work.snapshot.todo_list:
        work.emit(PlanChanged(todo_list=work.snapshot.todo_list, repairs=tuple(made.repairs)))
    work.enter(AgentState.EXECUTING_TASKS)


def _before(work: Work) -> checks.Before:
    """Sort the tasks of earlier rounds; no task is pending when a plan is made."""
    finished, lost = dict[str, str](), dict[str, str]()
    for task in work.tasks():
        run = work.run(task.id)
        is_finished = task.status is TaskStatus.COMPLETED or run.skipped_by_person
        (finished if is_finished else lost)[run.key] = task.id
    key_of = {id_: key for key, id_ in lost.items()}
    causes = {
        key: [key_of[needed] for needed in work.task(id_).dependencies if needed in key_of]
        for key, id_ in lost.items()
    }
    return checks.Before(finished, lost, causes)


def _change_lost_tasks(work: Work, made: repairs.MadePlan, before: checks.Before) -> None:
    """Skip and try again what failed or was skipped; nothing waits for what is skipped."""
    skipped = {before.lost[key] for key in made.skip}
    for id_ in sorted(skipped):
        if work.task(id_).status is not TaskStatus.SKIPPED:
            work.change_task(id_, status=TaskStatus.SKIPPED, error_message=LEFT_OUT)
    for key in made.retry:
        task = work.task(before.lost[key])
        needed = [id_ for id_ in task.dependencies if id_ not in skipped]
        work.change_task(task.id, dependencies=needed)
        tasks.retry(work, task.id)


def _goal_task(work: Work) -> TaskDraft:
    analysis, tools = work.snapshot.requirement_analysis, work.snapshot.tool_analysis
    goal = analysis.goal if analysis and analysis.goal.strip() else work.snapshot.prompt
    return repairs.goal_task(
        goal[:_MAX_GOAL_CHARS],
        analysis.complexity_estimate if analysis else 1,
        tools.relevant_tools if tools else (),
    )


def _name_tools(work: Work) -> None:
    """Note which tools the plan names, as long as no text of others can have had a say in it."""
    snapshot = work.snapshot
    named = [*(snapshot.named_tools or ()), *(snapshot.tools or ())]
    if not snapshot.read_untrusted:
        analysis = snapshot.tool_analysis
        named += analysis.relevant_tools if analysis else ()
        named += [name for task in work.tasks() for name in task.tools_needed]
    work.update(named_tools=tuple(dict.fromkeys(named)))
