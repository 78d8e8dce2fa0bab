// Pieces that several pages are made of.

import { say, warn } from "./announce.js";
import { h } from "./dom.js";
import { plain } from "./text.js";

// A word with a mark of its own shape: colour alone tells nobody everything.
export function mark(kind, word) {
  return h("span", { class: `mark ${kind}` }, word);
}

// Terms and what they are; terms without a value are left out.
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([term, value]) => h("div", null, h("dt", null, term), h("dd", null, value))));
}

export function notice(kind, ...words) {
  return h("p", { class: `notice ${kind}` }, words);
}

// What went wrong, or that we still look.
export function insteadOf(trouble) {
  return trouble ? notice("bad", plain(trouble.message)) : h("p", { class: "quiet" }, "Looking …");
}

// A table that scrolls by itself where it is too wide. `heads` are texts or elements; `name` is its caption.
export function table(name, heads, rows, attributes = {}) {
  const head = h("tr", null, heads.map((each) => h("th", { scope: "col", class: each.number ? "number" : null }, each.text ?? each)));
  return h(
    "div",
    { class: "scroller", role: "region", "aria-label": name, tabindex: "0" },
    h("table", attributes, h("caption", { class: "unseen" }, name), h("thead", null, head), h("tbody", null, rows)),
  );
}

export function number(text) {
  return { text, number: true };
}

export function button(words, click, { kind = "", label = null, disabled = false } = {}) {
  return h("button", { type: "button", class: kind || null, "aria-label": label, disabled, on: { click } }, words);
}

// Do something that changes something: once, and say how it went.
export async function act(work, done) {
  if (act.busy) return;
  act.busy = true;
  try {
    say(await work());
    await done?.();
  } catch (trouble) {
    warn(trouble.message);
  } finally {
    act.busy = false;
  }
}

// Ask before something that cannot be taken back. Resolves to whether it is wanted. That a dialog was closed is told a
// moment later: by then it may be open again, and what is told is of the question before.
export function sure(question, yes) {
  const dialog = document.getElementById("sure");
  sure.answer?.(false);
  dialog.querySelector("p").textContent = question;
  dialog.querySelector("button[value=yes]").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    sure.answer = resolve;
    dialog.onclose = () => dialog.open || resolve(dialog.returnValue === "yes");
  });
}

export function field(words, control, hint = null) {
  return h("label", { class: "field" }, h("span", null, words), control, hint && h("small", null, hint));
}

export function select(name, choices, chosen, on = {}) {
  const options = choices.map((each) => {
    const [value, words] = Array.isArray(each) ? each : [each, each];
    return h("option", { value, selected: value === chosen, key: `o-${value}` }, words);
  });
  return h("select", { name, on }, options);
}
