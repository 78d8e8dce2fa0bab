// One task: where it stands and why, what it asks, what came back, and each attempt.

import { get, post, queuePath, taskPath } from "./api.js";
import { h } from "./dom.js";
import { dateAndTime, duration, moment, number as written } from "./format.js";
import { act, button, facts, insteadOf, notice, sure } from "./pieces.js";
import { link, queueLink } from "./router.js";
import { may } from "./session.js";
import { answerParts, requestParts } from "./said.js";
import { taskMark } from "./tasks.js";
import { plain, short } from "./text.js";

const OPEN = ["pending", "running"];

export function taskPage({ redraw }, id, queue) {
  let task = null;
  let why = [];
  let asked = null; // the request, or the trouble in its place
  let trouble = null;
  const open = new Map(); // how much of which long text is shown

  async function refresh() {
    if (task && !OPEN.includes(task.status) && !trouble && asked) return redraw();
    try {
      task = await get(taskPath(id), { queue });
      trouble = null;
      why = OPEN.includes(task.status) ? (await get(taskPath(id, "explain"), { queue: task.queue })).lines : [];
      asked = await request(asked);
    } catch (error) {
      trouble = error;
    }
    return redraw();
  }

  async function request(known) {
    if (known?.request) return known;
    try {
      return await get(taskPath(id, "request"), { queue: task.queue });
    } catch (error) {
      return error;
    }
  }

  function draw() {
    return [h("h1", { tabindex: "-1" }, "Task ", h("span", { class: "id" }, plain(id))), trouble && insteadOf(trouble), task ? whole() : !trouble && insteadOf(null)];
  }

  function whole() {
    const show = (name) => [open.get(name), (size) => { open.set(name, size); redraw(); }];
    return [
      h("div", { class: "row" }, taskMark(task.status), actions()),
      progress(),
      facts([
        ["Queue", h("a", { href: queueLink(task.queue) }, plain(task.queue))],
        ["Model", plain(task.requested_model && task.requested_model !== task.model ? `${task.model} in place of ${task.requested_model}` : task.model)],
        ["Priority", task.priority],
        ["Tenant", plain(task.tenant)],
        task.session && ["Session", plain(task.session)],
        task.batch && ["Batch", h("a", { href: link(["tasks"], { queue: task.queue, batch: task.batch }) }, plain(task.batch))],
        ["Created", dateAndTime(task.enqueued_at)],
        task.not_before && ["Not before", dateAndTime(task.not_before)],
        task.deadline && ["Deadline", dateAndTime(task.deadline)],
        ["Waited", duration(task.queue_seconds)],
        ["Ran", duration(task.run_seconds)],
        ["Attempts", written(task.attempts)],
        task.worker && ["Worker", plain(task.worker)],
        task.endpoint && ["Endpoint", plain(task.endpoint)],
        task.usage && ["Tokens", `${written(task.usage.input_tokens)} in, ${written(task.usage.output_tokens)} out`],
      ].filter(Boolean)),
      task.error && notice("bad", h("strong", null, plain(task.error.code)), ": ", short(task.error.message, 2000)),
      why.length > 0 && [h("h2", null, "Why it stands as it does"), h("ul", { class: "lines" }, why.map((each) => h("li", null, plain(each))))],
      h("h2", null, "Prompt"),
      asked?.request ? requestParts(asked.request, show) : insteadOf(asked),
      h("h2", null, "Answer"),
      task.output === null ? h("p", { class: "quiet" }, OPEN.includes(task.status) ? "There is none yet." : "There is none.") : answerParts(task.output, show),
      h("h2", null, "Attempts"),
      attempts(),
    ];
  }

  function progress() {
    const { fraction, message } = task.progress ?? {};
    if (!task.progress || !OPEN.includes(task.status)) return null;
    return h("p", { class: "row" }, fraction !== null && h("progress", { value: String(fraction), max: "1", "aria-label": "Progress" }), short(message ?? ""));
  }

  function actions() {
    const may_ask_again = may("submit") && asked?.request;
    return h(
      "div",
      { class: "row" },
      OPEN.includes(task.status) && may("submit") && button("Cancel", cancel),
      task.status === "failed" && may("admin") && button("Retry", () => act(retry, again), { kind: "main" }),
      may_ask_again && h("a", { href: link(["submit"], { queue: task.queue, from: id }) }, "Ask again …"),
    );
  }

  async function cancel() {
    if (!(await sure(`Cancel task ${id}? What it has done so far is lost.`, "Cancel the task"))) return;
    await act(async () => {
      const { status } = await post(taskPath(id, "cancel"), {}, { "Taskfleet-Queue": task.queue });
      return `task ${id}: ${status}`;
    }, again);
  }

  async function retry() {
    const { redriven } = await post(queuePath(task.queue, "redrive"), { ids: [id] });
    return redriven ? `task ${id} waits again, with all its attempts` : `task ${id} is no longer failed`;
  }

  async function again() {
    task = null;
    await refresh();
  }

  function attempts() {
    const past = task.history.map((attempt) => attemptLine(attempt));
    const last = !OPEN.includes(task.status) && h("li", { key: "last", class: task.status }, h("strong", null, task.status), ends(task));
    const now = task.status === "running" && h("li", { key: "now", class: "running" }, h("strong", null, "running"), task.worker ? [" on ", plain(task.worker)] : "");
    if (!past.length && !last && !now) return h("p", { class: "quiet" }, "Nobody has begun it.");
    return h("ol", { class: "attempts" }, past, now, last);
  }

  return { title: `Task ${id}`, draw, refresh, of: queue };
}

function attemptLine(attempt) {
  const seconds = (moment(attempt.ended_at) - moment(attempt.claimed_at)) / 1000;
  const where = [attempt.worker, attempt.endpoint && `at ${attempt.endpoint}`].filter(Boolean).join(" ");
  const how = attempt.error ? [h("strong", null, plain(attempt.error.code)), ": ", short(attempt.error.message, 400)] : h("strong", null, "handed back");
  return h(
    "li",
    { key: attempt.claimed_at + attempt.number, class: attempt.error ? "failed" : "pending" },
    h("span", { class: "quiet" }, `Attempt ${attempt.number} · ${dateAndTime(attempt.claimed_at)} · ${duration(seconds)} · `, plain(where)),
    h("br"),
    how,
  );
}

function ends(task) {
  const where = [task.worker, task.endpoint && `at ${task.endpoint}`].filter(Boolean).join(" ");
  const ran = task.run_seconds === null ? "" : ` after ${duration(task.run_seconds)}`;
  return [`${ran} `, plain(where)];
}
