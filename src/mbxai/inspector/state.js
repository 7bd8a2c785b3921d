// What is known of a run, from its events alone. Pure: the same events give the same state.

const PHASES = [
  ["analyzing_requirement", "Requirement"],
  ["analyzing_tools", "Tools"],
  ["generating_todo", "Plan"],
  ["executing_tasks", "Tasks"],
  ["evaluating_goal", "Evaluation"],
  ["completed", "Result"],
];

const EVENT_TYPES = [
  "state_changed", "plan_changed", "task_changed", "tool_called", "tool_ended", "tool_progressed",
  "human_requested", "human_resolved", "human_expired", "credential_concealed",
  "question_refused", "tool_unplanned", "tools_changed", "context_compacted", "answer_rejected",
  "usage_added", "goal_evaluated", "response_judged", "response_delta", "budget_reached",
  "run_failed",
];

function emptyRun() {
  return {
    state: "", phase: -1, tasks: [], tools: new Map(), usage: new Map(), asked: new Map(),
    evaluation: null, problem: "", text: "",
  };
}

function runAfter(events, count = events.length) {
  const run = emptyRun();
  for (const event of events.slice(0, count)) apply(run, event);
  return run;
}

function apply(run, event) {
  const step = STEPS[event.type];
  if (step) step(run, event);
}

const STEPS = {
  state_changed(run, { state }) {
    if (state === "analyzing_requirement") Object.assign(run, startOfTurn(run));
    run.state = state;
    const phase = PHASES.findIndex(([name]) => name === state);
    if (phase >= 0) run.phase = phase;
    if (state === "completed" || state === "failed") run.asked.clear();
  },
  plan_changed(run, { todo_list }) { run.tasks = todo_list.tasks; },
  task_changed(run, { task }) {
    run.tasks = run.tasks.map((known) => (known.id === task.id ? task : known));
  },
  tool_called(run, event) {
    const { call_id, name, arguments: given, seq } = event;
    run.tools.set(`${call_id} ${seq}`, { call_id, name, given, status: "running", seconds: 0 });
  },
  tool_progressed(run, { call_id, message, fraction }) {
    const call = lastCall(run, call_id);
    if (call) call.progress = progressText(message, fraction);
  },
  tool_ended(run, { call_id, is_error, content, seconds }) {
    const call = lastCall(run, call_id);
    if (call) Object.assign(call, { status: is_error ? "failed" : "done", content, seconds });
  },
  human_requested(run, { request }) { run.asked.set(request.id, request); },
  human_resolved(run, { interaction_id }) { run.asked.delete(interaction_id); },
  human_expired(run, { interaction_id }) { run.asked.delete(interaction_id); },
  usage_added(run, { step, usage }) {
    const sum = run.usage.get(step) ?? { calls: 0, prompt: 0, completion: 0, cost: 0 };
    run.usage.set(step, {
      calls: sum.calls + 1,
      prompt: sum.prompt + usage.prompt_tokens,
      completion: sum.completion + usage.completion_tokens,
      cost: sum.cost + usage.cost_usd,
    });
  },
  goal_evaluated(run, { evaluation }) { run.evaluation = evaluation; },
  answer_rejected(run) { run.text = ""; },
  response_delta(run, { text }) { run.text += text; },
  budget_reached(run, { message }) { run.problem = message; },
  run_failed(run, { error }) {
    run.problem = `${error.type}: ${error.message}`;
    run.asked.clear();
  },
};

// Tokens and cost are of the whole session; all else is of the turn.
function startOfTurn(run) {
  return run.state === "completed" || run.state === "failed"
    ? { ...emptyRun(), usage: run.usage }
    : {};
}

function lastCall(run, callId) {
  let found = null;
  for (const call of run.tools.values()) if (call.call_id === callId) found = call;
  return found;
}

function progressText(message, fraction) {
  const share = fraction === null ? "" : `${Math.round(fraction * 100)} %`;
  return [share, message].filter(Boolean).join(" ");
}

function countOf(number, thing) {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}

function words(name) {
  return name.replaceAll("_", " ");
}

function summaryOf(event) {
  switch (event.type) {
    case "state_changed": return words(event.state);
    case "plan_changed": return countOf(event.todo_list.tasks.length, "task");
    case "task_changed": return `${event.task.title}: ${words(event.task.status)}`;
    case "tool_called": return event.name;
    case "tool_ended": return `${event.name}: ${event.is_error ? "failed" : "done"}`;
    case "human_requested": return event.request.prompt;
    case "usage_added": return `${words(event.step)}: ${event.usage.total_tokens} tokens`;
    case "goal_evaluated": return `${event.evaluation.completion_percentage} %`;
    case "run_failed": return event.error.type;
    default: return "";
  }
}
