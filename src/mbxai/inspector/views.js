// A run on the page.

function showRun(run, isLive) {
  showPhases(run);
  drawPlan($("graph"), run.tasks);
  $("no-plan").hidden = run.tasks.length > 0;
  keyed($("tasks"), run.tasks, (task) => task.id, newEntry, showTask);
  $("no-tools").hidden = run.tools.size > 0;
  keyed($("tools"), [...run.tools], ([key]) => key, newEntry, (entry, [, call]) => {
    showCall(entry, call, isLive);
  });
  showUsage(run.usage);
}

function showPhases(run) {
  keyed($("phases"), PHASES, ([name]) => name, () => element("li"), (item, [name, title]) => {
    const at = PHASES.findIndex(([known]) => known === name);
    const status = phaseStatus(run, at);
    item.dataset.status = status;
    if (status === "now" || status === "waiting") item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
    item.replaceChildren(title, element("span", {}, PHASE_WORDS[status]));
  });
}

const PHASE_WORDS = {
  done: "done", now: "now", waiting: "waits for you", failed: "failed here", later: "to come",
};

function phaseStatus(run, at) {
  if (at < run.phase || run.state === "completed") return "done";
  if (at > run.phase) return "later";
  if (run.state === "waiting_for_human") return "waiting";
  return run.state === "failed" ? "failed" : "now";
}

function newEntry() {
  const summary = element("summary", {}, element("span", { class: "mark" }), " ", element("b"));
  summary.append(" ", element("span", { class: "faint" }));
  return element("li", {}, element("details", {}, summary, element("pre")));
}

function showEntry(entry, { mark, kind, title, note, body }) {
  const [markPlace, titlePlace, notePlace] = entry.querySelector("summary").children;
  write(markPlace, mark);
  markPlace.className = `mark ${kind}`;
  write(titlePlace, title);
  write(notePlace, note);
  write(entry.querySelector("pre"), body);
}

const KINDS = { completed: "good", done: "good", failed: "bad" };

function showTask(entry, task) {
  entry.dataset.status = task.status;
  const said = task.error_message ?? task.result;
  showEntry(entry, {
    mark: MARKS[task.status] ?? "", kind: KINDS[task.status] ?? "", title: task.title,
    note: words(task.status), body: said ? `${task.description}\n\n${said}` : task.description,
  });
}

function showCall(entry, call, isLive) {
  const mark = { running: "◐", done: "✓", failed: "✕" }[call.status];
  const took = call.seconds > 0 ? `${call.seconds.toFixed(2)} s` : "";
  const now = isLive && call.status === "running" ? call.progress ?? "" : "";
  const result = call.content === undefined ? "" : `\n\n${call.content}`;
  showEntry(entry, {
    mark, kind: KINDS[call.status] ?? "", title: call.name,
    note: [call.status, took, now].filter(Boolean).join(", "), body: call.given + result,
  });
}

function showUsage(usage) {
  const rows = [...usage];
  keyed($("usage"), rows, ([step]) => step, newRow, (row, [step, sum]) => {
    showRow(row, words(step), sum);
  });
  const total = { calls: 0, prompt: 0, completion: 0, cost: 0 };
  for (const [, sum] of rows) for (const name in total) total[name] += sum[name];
  keyed($("usage-total"), ["Total"], (name) => name, newRow, (row) => {
    showRow(row, "Total", total);
  });
}

function newRow() {
  return element("tr", {}, ...Array.from({ length: 5 }, () => element("td")));
}

function showRow(row, step, { calls, prompt, completion, cost }) {
  const texts = [step, calls, prompt, completion, cost.toFixed(6)];
  texts.forEach((text, at) => write(row.children[at], String(text)));
}

function showResult(state, run) {
  const evaluation = state?.goal_evaluation ?? run.evaluation;
  const response = state?.final_response ?? null;
  const problem = state?.error ? `${state.error.type}: ${state.error.message}` : run.problem;
  const hasText = response === null && run.text !== "";
  $("result").hidden = response === null && !problem && !hasText;
  const parts = [];
  if (problem) parts.push(element("p", { class: "problem" }, problem));
  if (evaluation && response !== null) {
    const share = `${evaluation.completion_percentage} % of the goal is reached.`;
    parts.push(faint([share, evaluation.feedback].filter(Boolean).join(" ")));
  }
  if (response !== null) parts.push(element("pre", {}, JSON.stringify(response, null, 2)));
  if (hasText) parts.push(element("pre", {}, run.text));
  $("result-body").replaceChildren(...parts);
}

function showLog(events, position) {
  const counted = events.map((event, at) => ({ event, at }));
  const isLonger = events.length > $("log").children.length;
  keyed($("log"), counted, ({ at }) => at, ({ event }) => {
    const text = summaryOf(event);
    return element("li", {}, text ? `${words(event.type)}: ${text}` : words(event.type));
  }, (item, { at }) => { item.dataset.after = at >= position; });
  if (isLonger) $("log").scrollTop = $("log").scrollHeight;
}
