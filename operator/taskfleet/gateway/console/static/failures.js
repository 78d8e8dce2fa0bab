// Dead letters: what the tasks of a queue failed of, and bringing them back: all, those of one error, or some.

import { get, post, queuePath } from "./api.js";
import { h } from "./dom.js";
import { count, dateAndTime, number as written } from "./format.js";
import { queues } from "./live.js";
import { act, button, field, insteadOf, notice, number, select, sure, table } from "./pieces.js";
import { go, link, taskLink } from "./router.js";
import { may } from "./session.js";
import { plain, short } from "./text.js";

const PAGE = "50";

export function failuresPage({ redraw }, query) {
  const queue = query.get("queue") || [...queues.values()].find((each) => each.failed)?.id || [...queues.keys()][0] || "";
  const code = query.get("error_code") ?? "";
  const chosen = new Set();
  let byError = [];
  let uncounted = false;
  let letters = [];
  let next = null;
  let trouble = null;
  let looked = false;
  let pages = 1;

  async function refresh() {
    if (!queue) return;
    if (pages > 1) return; // who reads on wants it to stay
    await look(null);
  }

  async function look(after) {
    try {
      const counted = await get(queuePath(queue, "failures"));
      [byError, uncounted] = [counted.data, counted.has_more];
      const page = await get("v1/tasks", { queue, status: "failed", error_code: code, limit: PAGE, after });
      letters = after ? [...letters, ...page.data] : page.data;
      next = page.has_more ? page.next : null;
      for (const id of chosen) if (!letters.some((each) => each.id === id)) chosen.delete(id);
      trouble = null;
    } catch (found) {
      trouble = found;
    }
    looked = true;
    redraw();
  }

  async function more() {
    pages += 1;
    await look(next);
  }

  async function redrive(which, words) {
    if (!(await sure(`Bring ${words} of ${queue} back? They wait again, with all their attempts.`, "Bring back"))) return;
    await act(
      async () => {
        const { redriven, others } = await post(queuePath(queue, "redrive"), which);
        const not = Object.keys(others).length;
        return `${count(redriven, "task")} of ${queue} brought back${not ? `; ${written(not)} were no longer failed` : ""}`;
      },
      async () => {
        pages = 1;
        chosen.clear();
        await look(null);
      },
    );
  }

  function draw() {
    return [h("h1", { tabindex: "-1" }, "Dead letters"), choice(), trouble ? insteadOf(trouble) : looked ? found() : queue ? insteadOf(null) : null];
  }

  function choice() {
    const there = [...new Set([queue, ...queues.keys()])].filter(Boolean);
    const words = there.map((id) => [id, queues.get(id)?.failed ? `${id} (${written(queues.get(id).failed)})` : id]);
    const change = (event) => go(link(["failures"], { queue: event.target.value }));
    return h("div", { class: "filters few" }, field("Queue", select("queue", words, queue, { change })));
  }

  function found() {
    if (!byError.length) return h("p", { class: "empty" }, `No task of ${queue} has failed.`);
    return [errors(), uncounted && notice("held", "There are more than are counted here: of these the oldest."), list()];
  }

  function errors() {
    const total = byError.reduce((sum, each) => sum + each.count, 0);
    const words = uncounted ? "all failed tasks" : `all ${count(total, "failed task")}`;
    return [
      h("div", { class: "row" }, h("h2", null, "By error"), may("admin") && button(`Bring ${uncounted ? "all" : `all ${written(total)}`} back`, () => redrive({ all: true }, words))),
      table("By error", ["Error", number("Tasks"), "What was said last", "First", "Last", ...(may("admin") ? ["Bring back"] : [])], byError.map(errorRow)),
    ];
  }

  function errorRow(each) {
    const back = () => redrive({ error_code: each.error_code }, `${count(each.count, "task")} that failed with ${each.error_code}`);
    return h(
      "tr",
      { key: each.error_code },
      h("th", { scope: "row" }, h("a", { href: link(["failures"], { queue, error_code: each.error_code }) }, plain(each.error_code))),
      h("td", { class: "number strong" }, written(each.count)),
      h("td", { class: "words" }, short(each.message ?? "", 200)),
      h("td", null, dateAndTime(each.first_failed_at)),
      h("td", null, dateAndTime(each.last_failed_at)),
      may("admin") && h("td", null, button("Bring back", back, { label: `Bring back those that failed with ${each.error_code}` })),
    );
  }

  function list() {
    const all = h("a", { href: link(["failures"], { queue }) }, "show all");
    const some = () => redrive({ ids: [...chosen] }, count(chosen.size, "chosen task"));
    return [
      h("div", { class: "row" }, h("h2", null, code ? `Failed with ${code}` : "All of them"), code && all,
        may("admin") && button(`Bring ${written(chosen.size)} chosen back`, some, { disabled: !chosen.size })),
      table("Failed tasks", [...(may("admin") ? ["Choose"] : []), "Task", "Failed", number("Attempts"), "Of what"], letters.map(letterRow)),
      next && button("More", more),
    ];
  }

  function letterRow(task) {
    const choose = (event) => {
      if (event.target.checked) chosen.add(task.id);
      else chosen.delete(task.id);
      redraw();
    };
    return h(
      "tr",
      { key: task.id },
      may("admin") && h("td", null, h("input", { type: "checkbox", "aria-label": `Choose ${task.id}`, on: { change: choose } })),
      h("th", { scope: "row" }, h("a", { class: "id", href: taskLink(queue, task.id) }, short(task.id, 40))),
      h("td", null, dateAndTime(task.failed_at ?? task.enqueued_at)),
      h("td", { class: "number" }, String(task.attempts)),
      h("td", { class: "words" }, task.error ? short(`${task.error.code}: ${task.error.message}`, 120) : ""),
    );
  }

  return { title: "Dead letters", draw, refresh, of: queue };
}
