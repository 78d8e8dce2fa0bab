// One queue: its numbers, its last ten minutes, why it stands as it does, who serves it; pause and resume.

import { get, post, queuePath } from "./api.js";
import { depth, depthWords, legend, line } from "./charts.js";
import { h } from "./dom.js";
import { dateAndTime, number as written, rate } from "./format.js";
import { history, queues, sight } from "./live.js";
import { act, button, facts, insteadOf, mark, select } from "./pieces.js";
import { poolTable } from "./pools.js";
import { link } from "./router.js";
import { may } from "./session.js";
import { oldest, standing, timeLeft } from "./standing.js";
import { plain } from "./text.js";

const PAUSES = [["", "until I resume it"], ["15m", "for 15 minutes"], ["1h", "for an hour"], ["8h", "for 8 hours"]];

export function queuePage({ redraw }, id) {
  let explanation = null;
  let trouble = null;
  let pause = "";

  async function refresh() {
    try {
      explanation = (await get(queuePath(id, "explain"))).lines;
      trouble = null;
    } catch (error) {
      trouble = error;
    }
    redraw();
  }

  function draw() {
    const queue = queues.get(id);
    return [h("h1", { tabindex: "-1" }, plain(id)), ...(queue?.pending === undefined ? [absent(queue)] : whole(queue))];
  }

  function absent(queue) {
    if (queue) return insteadOf(new Error(queue.trouble));
    return sight.state === "live" ? insteadOf(trouble ?? new Error("there is no such queue that you may see")) : insteadOf(null);
  }

  function whole(queue) {
    const { kind, word } = standing(queue);
    const past = history(id);
    return [
      h("div", { class: "row" }, mark(kind, word), h("nav", { "aria-label": "Of this queue" }, links(id)), may("admin") && controls(queue)),
      facts([
        ["Waiting", [written(queue.pending + queue.scheduled), h("small", null, depthWords(queue.depth))]],
        ["Running", written(queue.running)],
        ["Rate", rate(queue.tasks_per_minute)],
        ["Oldest", oldest(queue)],
        ["Time left", timeLeft(queue)],
        ["Workers", written(queue.workers)],
        ["Failed", written(queue.failed)],
        ["Completed", written(queue.completed)],
        ["Cancelled", written(queue.cancelled)],
        ["Expired", written(queue.expired)],
        queue.paused && ["Paused until", queue.paused_until ? dateAndTime(queue.paused_until) : "someone resumes it"],
        ["Models", plain(queue.models.join(", "))],
      ].filter(Boolean)),
      depth(queue.depth, 600),
      legend(),
      h("div", { class: "charts" },
        h("figure", null, line(past.map((each) => each.waiting), { width: 400, height: 64 }), h("figcaption", null, "Waiting, last 10 minutes")),
        h("figure", null, line(past.map((each) => each.rate), { width: 400, height: 64, name: "rate" }), h("figcaption", null, "Tasks per minute"))),
      h("h2", null, "Why it stands as it does"),
      explanation ? h("ul", { class: "lines" }, explanation.map((each) => h("li", null, plain(each)))) : insteadOf(trouble),
      h("h2", null, "Pools and endpoints"),
      poolTable([queue]),
    ];
  }

  function controls(queue) {
    if (queue.paused) return h("div", { class: "row" }, button("Resume", () => act(resume, refresh), { kind: "main" }));
    const chosen = (event) => { pause = event.target.value; };
    return h("div", { class: "row" }, button("Pause", () => act(hold, refresh)), h("label", null, h("span", { class: "unseen" }, "How long to pause"), select("for", PAUSES, pause, { change: chosen })));
  }

  async function hold() {
    await post(queuePath(id, "pause"), pause ? { for: pause } : {});
    return `${id} is paused: no task is started`;
  }

  async function resume() {
    await post(queuePath(id, "resume"));
    return `${id} starts tasks again`;
  }

  return { title: id, draw, refresh, of: id };
}

function links(queue) {
  return [
    h("a", { href: link(["tasks"], { queue }) }, "Tasks"),
    h("a", { href: link(["failures"], { queue }) }, "Dead letters"),
    may("submit") && h("a", { href: link(["submit"], { queue }) }, "Submit a prompt"),
  ];
}
