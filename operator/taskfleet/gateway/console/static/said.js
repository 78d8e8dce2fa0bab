// What a task asks and what came back, as people read it: messages by who says them, the rest as it is.

import { h } from "./dom.js";
import { block, plain } from "./text.js";

// `show(name)` gives how much of that text is open, and how to open more.
export function requestParts(request, show) {
  const { messages, prompt, input, ...others } = request;
  const said = Array.isArray(messages) ? messages : [];
  const first = prompt ?? input;
  return [
    said.map((message, at) => spoken(message, `m${at}`, show)),
    first !== undefined && block(asText(first), ...show("prompt")),
    rest(others, "Parameters", show),
  ];
}

export function answerParts(output, show) {
  if (typeof output === "string") return block(output, ...show("answer"));
  if (Array.isArray(output?.choices)) {
    const { choices, ...others } = output;
    return [choices.map((choice, at) => spoken(choice.message ?? { content: choice.text }, `c${at}`, show)), rest(others, "The rest of the answer", show)];
  }
  if (output && typeof output === "object" && "content" in output) return spoken({ role: "assistant", ...output }, "answer", show);
  return block(asText(output), ...show("answer"));
}

function spoken(message, name, show) {
  const { role, content, ...others } = message ?? {};
  const parts = Array.isArray(content) ? content : [content];
  return h(
    "section",
    { class: "spoken", key: name },
    h("h3", null, plain(String(role ?? "assistant"))),
    parts.map((part, at) => part !== null && part !== undefined && block(partText(part), ...show(`${name}.${at}`))),
    rest(others, "Beside it", show),
  );
}

function partText(part) {
  return typeof part === "string" ? part : part.type === "text" && typeof part.text === "string" ? part.text : asText(part);
}

function rest(others, words, show) {
  const there = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== null && value !== undefined));
  if (!Object.keys(there).length) return null;
  return h("details", { key: `rest ${words}` }, h("summary", null, words), block(asText(there), ...show(words)));
}

function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}
