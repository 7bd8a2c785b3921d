// The session that is shown, and what a person does with it.

const shown = {
  id: "", events: [], pieces: [], state: null, source: null, position: null, timer: 0,
};
let isDrawing = false;

function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    const position = shown.position ?? shown.events.length;
    const isLive = shown.position === null;
    const run = runAfter(shown.events, position);
    if (isLive) for (const piece of shown.pieces) apply(run, piece);
    showRun(run, isLive);
    showResult(isLive ? shown.state : null, run);
    showLog(shown.events, position);
    showBar(run, isLive);
    $("position").max = shown.events.length;
    $("position").value = position;
    write($("position-text"), `${position} / ${shown.events.length}`);
    if (isLive) showForms([...run.asked.values()]);
    else $("asked").hidden = true; // what a person has begun to type stays
  });
}

function showBar(run, isLive) {
  const isOver = run.state === "completed" || run.state === "failed";
  write($("session-prompt"), shown.state?.prompt ?? "");
  write($("session-state"), words(run.state || "begun") + (isLive ? "" : " (replay)"));
  $("cancel").hidden = isOver || !isLive;
  $("continue").hidden = !isOver || !isLive;
}

function showForms(requests) {
  $("asked").hidden = requests.length === 0;
  keyed($("forms"), requests, (request) => request.id, (request) => {
    const place = element("div");
    call("GET", pathOf(shown.id, `/interactions/${encodeURIComponent(request.id)}`))
      .then((found) => place.replaceChildren(formOf(found, answer)))
      .catch((error) => place.replaceChildren(element("p", { class: "problem" }, error.message)));
    return place;
  }, () => {});
}

async function answer(form, given) {
  const problem = form.querySelector(".problem");
  const buttons = form.querySelectorAll("button");
  complain(problem, "");
  buttons.forEach((button) => { button.disabled = true; });
  try {
    await call("POST", pathOf(shown.id, "/responses"), given);
    announce("The answer was sent.");
    $("main").focus();
  } catch (error) {
    complain(problem, error.message);
    buttons.forEach((button) => { button.disabled = false; });
  } finally {
    forgetSecrets(form);
  }
}

function open(agentId) {
  close();
  Object.assign(shown, { id: agentId, events: [], pieces: [], state: null, position: null });
  location.hash = encodeURIComponent(agentId);
  $("nothing").hidden = true;
  $("session").hidden = false;
  $("forms").replaceChildren();
  complain($("session-problem"), "");
  write($("session-id"), agentId);
  $("export").href = new URL(pathOf(agentId, "/export"), BASE);
  follow(agentId);
  markSession();
  draw();
}

function leave(why) {
  close();
  Object.assign(shown, { id: "", events: [], pieces: [], state: null });
  location.hash = "";
  $("session").hidden = true;
  $("nothing").hidden = false;
  write($("nothing"), `${why} Start a run, or choose a session.`);
  $("main").focus();
}

function close() {
  shown.source?.close();
  shown.source = null;
  stopPlaying();
}

function follow(agentId) {
  const source = (shown.source = new EventSource(new URL(pathOf(agentId, "/events"), BASE)));
  for (const type of EVENT_TYPES) {
    source.addEventListener(type, (message) => {
      if (source === shown.source) take(JSON.parse(message.data));
    });
  }
  source.addEventListener("done", () => {
    source.close();
    refresh(agentId);
  });
  source.addEventListener("open", () => {
    write($("connection"), "Connected");
    complain($("session-problem"), "");
  });
  source.addEventListener("error", () => {
    if (source !== shown.source) return;
    write($("connection"), "Connecting again");
    if (source.readyState !== EventSource.CLOSED) return;
    refresh(agentId); // the service has refused; a browser asks again only where none answered
    setTimeout(() => { if (source === shown.source) follow(agentId); }, AGAIN_MILLISECONDS);
  });
}

const AGAIN_MILLISECONDS = 5000;
const PIECES = new Set(["response_delta", "tool_progressed"]);

function take(event) {
  if (PIECES.has(event.type)) {
    shown.pieces.push(event); // the log does not keep them, so neither does the replay
    return draw();
  }
  if (event.seq <= (shown.events.at(-1)?.seq ?? 0)) return; // told again to who connects again
  shown.events.push(event);
  if (event.type === "state_changed" || event.type === "answer_rejected") shown.pieces = [];
  if (event.type === "state_changed") {
    announce(`Step: ${words(event.state)}`);
    refresh(shown.id);
  }
  if (event.type === "human_requested") announce(`The agent asks: ${event.request.prompt}`);
  draw();
}

async function refresh(agentId) {
  try {
    const state = await call("GET", pathOf(agentId));
    if (agentId === shown.id) shown.state = state;
  } catch (error) {
    if (agentId === shown.id) {
      if (error.status === 404) leave("There is no such session.");
      else complain($("session-problem"), error.message);
    }
  }
  draw();
  listSessions();
}

// --- the list of sessions ---

const listed = { pages: 1, timer: 0 };

async function listSessions() {
  clearTimeout(listed.timer);
  try {
    const sessions = [];
    let cursor = null;
    for (let page = 0; page < listed.pages; page += 1) {
      const query = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const found = await call("GET", `sessions?limit=30${query}`);
      sessions.push(...found.sessions);
      cursor = found.next_cursor;
      if (cursor === null) break;
    }
    keyed($("sessions"), sessions, (item) => item.agent_id, newSession, showSession);
    $("no-sessions").hidden = sessions.length > 0;
    $("more").hidden = cursor === null;
    markSession();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
  clearTimeout(listed.timer);
  listed.timer = setTimeout(() => { if (!document.hidden) listSessions(); }, 5000);
}

function newSession({ agent_id }) {
  const button = element("button", { type: "button" }, element("code"), element("span"));
  button.addEventListener("click", () => { open(agent_id); $("main").focus(); });
  return element("li", {}, button);
}

function showSession(item, { agent_id, state, updated_at }) {
  const [id, note] = item.firstElementChild.children;
  write(id, agent_id);
  write(note, `${words(state)}, ${new Date(updated_at * 1000).toLocaleTimeString()}`);
  note.className = "faint";
}

function markSession() {
  for (const item of $("sessions").children) {
    item.firstElementChild.setAttribute("aria-current", item.dataset.key === shown.id);
  }
}

// --- replay ---

function seek(position) {
  shown.position = position >= shown.events.length ? null : position;
  draw();
}

function stopPlaying() {
  clearInterval(shown.timer);
  shown.timer = 0;
  write($("play"), "Play");
}

function play() {
  if (shown.timer) return stopPlaying();
  if (shown.position === null) seek(0);
  write($("play"), "Pause");
  shown.timer = setInterval(() => {
    seek((shown.position ?? shown.events.length) + 1);
    if (shown.position === null) stopPlaying();
  }, 250);
}

// --- what a person does ---

async function submitPrompt(event, path, begun) {
  event.preventDefault();
  const form = event.target;
  const problem = form.querySelector(".problem");
  const button = form.querySelector("button");
  complain(problem, "");
  button.disabled = true;
  try {
    const body = { prompt: form.elements.prompt.value, response_schema: $("schema").value };
    const { agent_id } = await call("POST", path, body);
    form.elements.prompt.value = "";
    begun(agent_id);
    listSessions();
  } catch (error) {
    complain(problem, error.message);
  } finally {
    button.disabled = false;
  }
}

async function attempt(action) {
  complain($("session-problem"), "");
  try {
    await action();
  } catch (error) {
    complain($("session-problem"), error.message);
  }
}

$("start").addEventListener("submit", (event) => submitPrompt(event, "sessions", open));
$("continue").addEventListener("submit", (event) => {
  submitPrompt(event, pathOf(shown.id, "/runs"), open);
});
$("more").addEventListener("click", () => { listed.pages += 1; listSessions(); });
$("cancel").addEventListener("click", () => {
  attempt(() => call("POST", pathOf(shown.id, "/cancel")));
});
$("delete").addEventListener("click", () => {
  if (!confirm("Delete this session and all that is known of it?")) return;
  attempt(async () => {
    await call("DELETE", pathOf(shown.id));
    leave("The session is deleted.");
    listSessions();
  });
});
$("play").addEventListener("click", play);
$("position").addEventListener("input", (event) => {
  stopPlaying();
  seek(event.target.valueAsNumber);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) listSessions(); });

async function begin() {
  try {
    const names = Object.keys(await call("GET", "response-schemas"));
    $("schema").replaceChildren(...names.map((name) => element("option", {}, name)));
    $("schema-field").hidden = names.length < 2;
  } catch (error) {
    complain($("start").querySelector(".problem"), error.message);
  }
  await listSessions();
  openAsked();
}

function openAsked() {
  const asked = askedFor();
  if (asked && asked !== shown.id) open(asked);
}

function askedFor() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // somebody has changed the address
  }
}

window.addEventListener("hashchange", openAsked);

begin();
