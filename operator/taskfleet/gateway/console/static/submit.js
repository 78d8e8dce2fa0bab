// Submit a prompt, and go to the task that it is.

import { get, post, taskPath } from "./api.js";
import { say } from "./announce.js";
import { h } from "./dom.js";
import { queues } from "./live.js";
import { field, insteadOf, select } from "./pieces.js";
import { go, taskLink } from "./router.js";
import { may, self } from "./session.js";

const PRIORITIES = ["critical", "high", "normal", "low"];

export function submitPage({ redraw }, query) {
  let queue = query.get("queue") || [...queues.keys()][0] || "";
  let trouble = null;
  let like = null; // the request of another task, to ask again
  let busy = false;

  async function start() {
    if (!query.get("from")) return;
    try {
      like = (await get(taskPath(query.get("from"), "request"), { queue })).request;
    } catch (error) {
      trouble = error;
    }
    redraw();
  }

  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    busy = true;
    const given = Object.fromEntries(new FormData(event.target));
    try {
      const task = await post("v1/tasks", line(given), { "Taskfleet-Queue": given.queue });
      say(`task ${task.id} is ${task.status}`);
      go(taskLink(task.queue, task.id));
    } catch (error) {
      trouble = error;
      redraw();
      document.querySelector(".notice.bad")?.focus();
    } finally {
      busy = false;
    }
  }

  // The line of a task: what the other one asked goes along, but for what is written here.
  function line({ model, priority, prompt, system }) {
    const messages = [...(system.trim() ? [{ role: "system", content: system }] : []), { role: "user", content: prompt }];
    return { ...(model ? { model } : {}), priority, messages, ...(like?.parameters ? { parameters: like.parameters } : {}) };
  }

  function draw() {
    if (!may("submit")) return [h("h1", { tabindex: "-1" }, "Submit a prompt"), insteadOf(new Error("this key may not submit"))];
    const there = [...new Set([queue, ...queues.keys()])].filter(Boolean);
    const models = queues.get(queue)?.models ?? [];
    const highest = PRIORITIES.indexOf(self().max_priority);
    const reached = PRIORITIES.slice(Math.max(0, highest));
    const choose = (event) => {
      queue = event.target.value;
      redraw();
    };
    return [
      h("h1", { tabindex: "-1" }, "Submit a prompt"),
      trouble && h("div", { role: "alert" }, insteadOf(trouble)),
      h(
        "form",
        { class: "submit", key: like ? "like" : "new", on: { submit } },
        h("div", { class: "filters" },
          field("Queue", select("queue", there, queue, { change: choose })),
          field("Model", select("model", [["", "the queue's default"], ...models], "")),
          field("Priority", select("priority", reached, reached.includes("normal") ? "normal" : reached[0]))),
        field("System message", h("textarea", { name: "system", rows: "2" }, text("system")), "Left out when it is empty."),
        field("Prompt", h("textarea", { name: "prompt", rows: "8", required: true }, text("user"))),
        h("div", { class: "row" }, h("button", { class: "main" }, "Submit")),
      ),
    ];
  }

  // What the other task's first message of that role says.
  function text(role) {
    const found = (like?.messages ?? []).find((each) => each.role === role)?.content;
    return typeof found === "string" ? found : "";
  }

  return { title: "Submit a prompt", draw, start };
}
