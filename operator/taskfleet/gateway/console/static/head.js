// The head of the page: where one can go, whether what is shown is new, light or dark, and whose key this is.

import { h, render } from "./dom.js";
import { clock } from "./format.js";
import { sight } from "./live.js";
import { button, select } from "./pieces.js";
import { link } from "./router.js";
import { may, self } from "./session.js";
import { plain } from "./text.js";
import { CHOICES, choose, theme } from "./theme.js";

const PAGES = [["queues", "Queues"], ["tasks", "Tasks"], ["failures", "Dead letters"], ["batches", "Batches"], ["submit", "Submit"]];

export function drawHead(where, leave) {
  render(document.getElementById("top"), [
    h("a", { class: "brand", href: link(["queues"]) }, "Taskfleet"),
    self() && h("nav", { "aria-label": "Pages" }, PAGES.filter(([name]) => allowed(name)).map(([name, words]) => entry(name, words, where))),
    h("div", { class: "side" }, self() && sightMark(), h("label", null, h("span", { class: "unseen" }, "Colours"), themes()), self()?.required && owner(leave)),
  ]);
  drawBanner();
}

function allowed(name) {
  return may(name === "submit" ? "submit" : "read");
}

function entry(name, words, where) {
  return h("a", { href: link([name]), "aria-current": where === name ? "page" : null }, words);
}

function sightMark() {
  const [kind, words] = sight.state === "live" ? ["good", "live"] : sight.state === "lost" ? ["bad", "not seen"] : ["idle", "looking"];
  return h("span", { class: `mark ${kind}`, title: sight.at ? `last seen ${clock(sight.at)}` : null }, words);
}

function themes() {
  const words = { system: "system colours", light: "light", dark: "dark" };
  return select("theme", CHOICES.map((each) => [each, words[each]]), theme(), { change: (event) => choose(event.target.value) });
}

function owner(leave) {
  return h("span", { class: "owner" }, plain(self().name), h("small", null, plain(self().sees_all_tenants ? "all tenants" : `tenant ${self().tenant}`)), button("Forget key", leave));
}

function drawBanner() {
  const banner = document.getElementById("unseen");
  banner.hidden = sight.state !== "lost";
  const shown = sight.at ? `What is shown is of ${clock(sight.at)}.` : "Nothing could be seen yet.";
  const words = `Could not see: ${sight.words}. ${shown} Trying again.`;
  if (!banner.hidden && banner.textContent !== words) banner.textContent = words;
  document.body.classList.toggle("stale", sight.state === "lost");
}
