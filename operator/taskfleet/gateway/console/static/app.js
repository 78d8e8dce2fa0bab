// The console: which page is shown, when it is drawn, and when it looks again.

import { say, warn } from "./announce.js";
import { get } from "./api.js";
import { batchesPage } from "./batches.js";
import { h, render } from "./dom.js";
import { failuresPage } from "./failures.js";
import { drawHead } from "./head.js";
import { keyPage } from "./keyform.js";
import { sight, start, stop, watch } from "./live.js";
import { queuePage } from "./queue.js";
import { queuesPage } from "./queues.js";
import { here } from "./router.js";
import { become, forgetKey, may, self, takeKey } from "./session.js";
import { submitPage } from "./submit.js";
import { taskPage } from "./task.js";
import { tasksPage } from "./tasks.js";
import { watchOver } from "./watchman.js";
import { insteadOf } from "./pieces.js";

const SOON_MS = 2000; // between two looks at a queue that changes
const LATER_MS = 5000; // at one of which nothing is heard
const TRY_AGAIN_MS = 3000;

const main = document.getElementById("main");
let page = null;
let pages = 0;
let looked = 0;
let looking = false;
let moved = false;
let drawing = false;
let seenBefore = "";

function redraw() {
  if (drawing) return;
  drawing = true;
  // Also where nobody looks: a page in the background is to be right when it comes to the front.
  setTimeout(() => {
    drawing = false;
    drawHead(here().path[0] ?? "queues", leave);
    const shown = page ? page.draw() : h("p", { class: "quiet" }, "Looking …");
    render(main, h("div", { key: `page ${pages}` }, shown));
  }, 0);
}

function show(next) {
  const first = page === null;
  page = next;
  pages += 1;
  document.title = `${page.title} · Taskfleet`;
  looked = 0;
  redraw();
  page.start?.();
  look();
  if (first) return;
  setTimeout(() => main.querySelector("h1")?.focus(), 0);
  window.scrollTo(0, 0);
}

function route() {
  if (!self() || (may("read") && sight.state === "looking")) return;
  const { path, query } = here();
  const context = { redraw };
  const [name = may("read") ? "queues" : "submit", ...rest] = path;
  const found = {
    queues: () => (rest.length === 2 ? queuePage(context, rest.join("/")) : queuesPage(context)),
    tasks: () => (rest.length === 1 ? taskPage(context, rest[0], query.get("queue") ?? "") : tasksPage(context, query)),
    failures: () => failuresPage(context, query),
    batches: () => batchesPage(context),
    submit: () => submitPage(context, query),
  }[name];
  show(found ? found() : lost());
}

function lost() {
  return { title: "Not here", draw: () => [h("h1", { tabindex: "-1" }, "Not here"), insteadOf(new Error("there is no such page; go on from above"))] };
}

// Look again where the page has something to look at: soon where its queue moved, else now and then.
async function look() {
  if (looking || !page?.refresh || document.hidden) return;
  const mine = page;
  looking = true;
  moved = false;
  await mine.refresh();
  looked = Date.now();
  looking = false;
  if (mine !== page) look();
}

function changed(ids) {
  if (ids.size && (!page?.of || ids.has(page.of))) moved = true;
  tellSight();
  watchOver(Date.now());
  redraw();
}

function tellSight() {
  if (sight.state === seenBefore || sight.state === "looking") return;
  if (sight.state === "lost") warn(`Could not see: ${sight.words}`);
  else if (seenBefore === "lost") say("what is shown is live again");
  seenBefore = sight.state;
  moved = true;
  if (!page) route();
}

setInterval(() => {
  const since = Date.now() - looked;
  if (sight.state !== "lost" && since > (moved ? SOON_MS : LATER_MS)) look();
}, 250);

async function enter() {
  try {
    become(await get("v1/key"));
  } catch (trouble) {
    if (trouble.status === 401) askForKey(trouble);
    else if (trouble.status === 0 || trouble.status >= 500) {
      wait(trouble);
    } else refuse(trouble);
    return;
  }
  page = null;
  if (may("read")) start(); // and go on when the queues are known, or cannot be
  else route();
  redraw();
}

function askForKey(trouble) {
  stop();
  const use = (text) => {
    takeKey(text);
    enter();
  };
  forgetKey();
  show(keyPage(use, trouble));
}

function refuse(trouble) {
  stop();
  show({ title: "Refused", draw: () => [h("h1", { tabindex: "-1" }, "Refused"), insteadOf(trouble)] });
}

function wait(trouble) {
  show({ title: "Not reached", draw: () => [h("h1", { tabindex: "-1" }, "Not reached"), insteadOf(trouble), h("p", null, "Trying again.")] });
  setTimeout(enter, TRY_AGAIN_MS);
}

function leave() {
  forgetKey();
  location.reload();
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", route);
document.addEventListener("visibilitychange", () => look());
watch(changed, (trouble) => (trouble.status === 401 ? askForKey(trouble) : refuse(trouble)));
enter();
