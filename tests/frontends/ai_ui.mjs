// `useChat`'s own transport against a service: a run that asks, an answer, the end.
// node ai_ui.mjs URL; prints what it saw as JSON.

import { DefaultChatTransport, readUIMessageStream, validateUIMessages } from "ai";

const transport = new DefaultChatTransport({
  api: `${process.argv[2]}/agent/vercel/chat`,
  headers: { "X-User": "ann" },
});
const messages = [
  { id: "m1", role: "user", parts: [{ type: "text", text: "Ship the lamp" }] },
];

async function send(body) {
  const stream = await transport.sendMessages({
    trigger: "submit-message", chatId: "chat-1", messages, abortSignal: undefined, body,
  });
  const reasons = [];
  const seen = stream.pipeThrough(new TransformStream({
    transform(chunk, controller) {
      if (chunk.type === "finish") reasons.push(chunk.finishReason);
      controller.enqueue(chunk);
    },
  }));
  let message;
  for await (const state of readUIMessageStream({ stream: seen, terminateOnError: true })) {
    message = state;
  }
  messages.push({ ...message, id: `m${messages.length + 1}` });
  await validateUIMessages({ messages });
  return { message, reason: reasons.join() };
}

const first = await send({});
const asked = first.message.parts.find((part) => part.type === "data-interaction");
const second = await send({
  resume: [{ interruptId: asked.id, status: "resolved", payload: { decision: "proceed" } }],
});
const left = await transport.reconnectToStream({ chatId: "chat-1" });
console.log(JSON.stringify({ first, second, left }));
