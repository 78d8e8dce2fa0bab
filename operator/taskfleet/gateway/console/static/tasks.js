// The tasks of a queue, by whatever one looks for; the first page is kept new.

import { get } from "./api.js";
import { h } from "./dom.js";
import { dateAndTime, duration } from "./format.js";
import { queues } from "./live.js";
import { button, field, insteadOf, mark, number, select, table } from "./pieces.js";
import { go, link, requery, taskLink } from "./router.js";
import { self } from "./session.js";
import { plain, short } from "./text.js";

const PAGE = "50";
const MOST_LOOKS = 10; // for one page
const STATUSES = [["", "any"], "pending", "running", "completed", "failed", "cancelled", "expired"];
const PRIORITIES = [["", "any"], "critical", "high", "normal", "low"];
const SINCE = [["", "any time"], ["600", "the last 10 minutes"], ["3600", "the last hour"], ["86400", "the last day"]];
const TEXTS = [["model", "Model"], ["tenant", "Tenant"], ["session", "Session"], ["batch", "Batch"], ["error_code", "Error code"], ["error", "Error says"]];
const KINDS = { completed: "good", running: "good", failed: "bad", expired: "bad" };

export const taskMark = (status) => mark(KINDS[status] ?? "idle", status);

export function tasksPage({ redraw }, query) {
  const queue = query.get("queue") || [...queues.keys()][0] || "";
  const wanted = Object.fromEntries(["status", "priority", "since", ...TEXTS.map(([name]) => name)].map((name) => [name, query.get(name) ?? ""]));
  let found = [];
  let next = null;
  let pages = 1;
  let trouble = null;
  let looked = false;

  async function refresh() {
    if (pages > 1) return; // who reads on wants it to stay
    await look(null);
  }

  async function look(after) {
    const { since, ...filters } = wanted;
    const created = since && new Date(Date.now() - Number(since) * 1000).toISOString();
    try {
      let page = null;
      // A page ends after so many that were looked at, also where none of them is as wanted.
      for (let at = after, looks = 0; looks === 0 || (looks < MOST_LOOKS && !page.data.length && at); looks += 1) {
        page = await get("v1/tasks", { queue, ...filters, created_after: created, limit: PAGE, after: at });
        at = page.has_more ? page.next : null;
      }
      found = after ? [...found, ...page.data] : page.data;
      next = page.has_more ? page.next : null;
      trouble = null;
    } catch (error) {
      trouble = error;
    }
    looked = true;
    redraw();
  }

  async function more() {
    pages += 1;
    await look(next);
  }

  function submit(event) {
    event.preventDefault();
    const given = new FormData(event.target);
    const id = given.get("id").trim();
    if (id) {
      go(taskLink(given.get("queue"), id));
      return;
    }
    go(link(["tasks"], Object.fromEntries(given)));
  }

  function draw() {
    return [
      h("h1", { tabindex: "-1" }, "Tasks"),
      form(),
      trouble ? insteadOf(trouble) : looked ? results() : insteadOf(null),
    ];
  }

  function form() {
    const texts = TEXTS.filter(([name]) => name !== "tenant" || self()?.sees_all_tenants);
    const there = [...new Set([queue, ...queues.keys()])].filter(Boolean);
    return h(
      "form",
      { class: "filters", role: "search", "aria-label": "Tasks", on: { submit } },
      field("Queue", select("queue", there, queue)),
      field("Id", h("input", { name: "id", type: "search", spellcheck: "false", placeholder: "opens that task" })),
      field("Status", select("status", STATUSES, wanted.status)),
      field("Priority", select("priority", PRIORITIES, wanted.priority)),
      field("Created in", select("since", SINCE, wanted.since)),
      texts.map(([name, words]) => field(words, h("input", { name, value: wanted[name], spellcheck: "false" }))),
      h("div", { class: "row" }, h("button", { class: "main" }, "Look"), h("a", { href: link(["tasks"], { queue }) }, "Clear")),
    );
  }

  function results() {
    if (!found.length) {
      const words = next ? "None of those that were looked at so far is as you look for. " : "No task is as you look for.";
      return h("p", { class: "empty" }, words, next && button("Look on", more));
    }
    const heads = ["Task", "Status", "Priority", "Model", "Created", number("Waited"), number("Ran"), number("Attempts"), "Tenant", "Of what it failed"];
    return [
      table("Tasks", heads, found.map(row), { class: "tasks" }),
      h("div", { class: "row" }, h("p", { class: "quiet" }, pages > 1 ? "Not kept new while you read on." : "Kept new."), next && button("More", more)),
    ];
  }

  requery(["tasks"], { queue, ...wanted });
  return { title: "Tasks", draw, refresh, of: queue };
}

function row(task) {
  return h(
    "tr",
    { key: task.id },
    h("th", { scope: "row" }, h("a", { class: "id", href: taskLink(task.queue, task.id) }, short(task.id, 40))),
    h("td", null, taskMark(task.status)),
    h("td", null, task.priority),
    h("td", null, short(task.model, 40)),
    h("td", null, dateAndTime(task.enqueued_at)),
    h("td", { class: "number" }, duration(task.queue_seconds)),
    h("td", { class: "number" }, duration(task.run_seconds)),
    h("td", { class: "number" }, String(task.attempts)),
    h("td", null, plain(task.tenant)),
    h("td", { class: "words" }, task.error ? short(`${task.error.code}: ${task.error.message}`, 90) : ""),
  );
}
