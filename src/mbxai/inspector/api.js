// Requests to the service whose page this is.

const BASE = new URL(".", location.href);

class Refused extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

async function call(method, path, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const sent = body === undefined ? undefined : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(new URL(path, BASE), { method, headers, body: sent });
  } catch {
    write($("connection"), "The service cannot be reached");
    throw new Refused("The service cannot be reached.");
  }
  write($("connection"), "Connected");
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const problem = await answer.json().catch(() => ({}));
  const texts = [problem.title ?? `Status ${answer.status}.`, problem.detail];
  throw new Refused(texts.filter(Boolean).join(" "), answer.status);
}

function pathOf(agentId, rest = "") {
  return `sessions/${encodeURIComponent(agentId)}${rest}`;
}
