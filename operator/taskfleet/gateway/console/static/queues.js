// All queues, one line each; of those that stand still, why. Below them who serves them.

import { depth, depthWords, legend, line } from "./charts.js";
import { h } from "./dom.js";
import { number as written, rate } from "./format.js";
import { history, queues, sight } from "./live.js";
import { mark, number, table } from "./pieces.js";
import { poolTable } from "./pools.js";
import { link, queueLink } from "./router.js";
import { oldest, standing, timeLeft } from "./standing.js";
import { plain } from "./text.js";

const MANY = 8; // from so many on one may search
const LINES = 3; // of why, for one queue

export function queuesPage({ redraw }) {
  let wanted = "";
  const search = (event) => {
    wanted = event.target.value;
    redraw();
  };

  function draw() {
    const all = [...queues.values()];
    const shown = all.filter((queue) => queue.id.includes(wanted.trim()));
    return [
      h("h1", { tabindex: "-1" }, "Queues"),
      all.length >= MANY &&
        h("form", { class: "row", role: "search", key: "search", on: { submit: (event) => event.preventDefault() } },
          h("label", { class: "field" }, h("span", null, "Search"), h("input", { type: "search", on: { input: search } })),
          h("p", { class: "quiet" }, `${written(shown.length)} of ${written(all.length)}`)),
      all.length ? [queueTable(shown), legend()] : nothing(),
      h("h2", null, "Pools and endpoints"),
      poolTable(shown),
    ];
  }

  return { title: "Queues", draw };
}

function nothing() {
  if (sight.state !== "live") return h("p", { class: "quiet" }, "Looking for queues …");
  return h("p", { class: "empty" }, "There is no queue yet that you may see. Apply a TaskQueue, or ask who made your key.");
}

function queueTable(shown) {
  const heads = ["Queue", "State", number("Waiting"), "By priority", number("Running"), number("Rate"), "Last 10 minutes", number("Oldest"), number("Time left"), number("Failed")];
  return table("Queues", heads, shown.flatMap(rows), { class: "queues" });
}

function rows(queue) {
  const name = h("th", { scope: "row" }, h("a", { href: queueLink(queue.id) }, plain(queue.id)));
  const { kind, word } = standing(queue);
  if (queue.pending === undefined) {
    return [h("tr", { key: queue.id }, name, h("td", null, mark(kind, word)), h("td", { colspan: "8" }, plain(queue.trouble ?? "")))];
  }
  const waits = queue.pending + queue.scheduled;
  const row = h(
    "tr",
    { key: queue.id },
    name,
    h("td", null, mark(kind, word)),
    h("td", { class: "number strong" }, written(waits)),
    h("td", { title: depthWords(queue.depth) || "nothing waits" }, depth(queue.depth), h("span", { class: "unseen" }, depthWords(queue.depth))),
    h("td", { class: "number" }, written(queue.running)),
    h("td", { class: "number" }, rate(queue.tasks_per_minute)),
    h("td", null, line(history(queue.id).map((each) => each.waiting + each.running))),
    h("td", { class: "number" }, oldest(queue)),
    h("td", { class: "number" }, timeLeft(queue)),
    h("td", { class: "number" }, failed(queue)),
  );
  const why = waits || queue.running || queue.paused || kind === "bad" ? queue.why : [];
  return why.length ? [row, whyRow(queue, why)] : [row];
}

function whyRow(queue, why) {
  const rest = why.length - LINES;
  const more = rest > 0 && h("li", null, h("a", { href: queueLink(queue.id) }, `${rest} more`));
  const lines = why.slice(0, LINES).map((each) => h("li", null, plain(each)));
  return h("tr", { key: `${queue.id} why`, class: "why" }, h("td", { colspan: "10" }, h("ul", { "aria-label": `Why ${queue.id} waits` }, lines, more)));
}

function failed(queue) {
  if (!queue.failed) return "0";
  return h("a", { class: "bad", href: link(["failures"], { queue: queue.id }), "aria-label": `${queue.failed} failed in ${queue.id}` }, written(queue.failed));
}
