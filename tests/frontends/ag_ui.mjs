// AG-UI's own client against a service: a run that asks, an answer, the end.
// node ag_ui.mjs URL; prints what it saw as JSON.

import { HttpAgent } from "@ag-ui/client";

const agent = new HttpAgent({
  url: `${process.argv[2]}/agent/ag-ui`,
  headers: { "X-User": "ann" },
  threadId: "thread-1",
  initialMessages: [{ id: "m1", role: "user", content: "Ship the lamp" }],
});

async function run(parameters) {
  const finished = [];
  const types = [];
  await agent.runAgent(parameters, {
    onEvent: ({ event }) => { types.push(event.type); },
    onRunFinishedEvent: ({ event }) => { finished.push(event); },
  });
  return { types, state: agent.state, finished: finished[0] };
}

const first = await run({ runId: "r1" });
const asked = first.finished.outcome.interrupts[0];
const second = await run({
  runId: "r2",
  resume: [{ interruptId: asked.id, status: "resolved", payload: { decision: "proceed" } }],
});
console.log(JSON.stringify({ first, second, messages: agent.messages }));
