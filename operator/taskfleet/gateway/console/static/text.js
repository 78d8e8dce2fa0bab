// What people, prompts and models wrote, as it is safe to look at: characters that nobody sees, or that turn the order of
// others round, are named instead; what is huge is shown in parts.

import { h } from "./dom.js";

const PART = 20_000;
// Control characters (also those of terminals), marks of direction, line separators, the byte order mark, lone
// surrogates. Tab and newline are what they are.
const ODD =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+|\p{Cs}+/gu;
const SHOWN_OF_A_RUN = 3;

// A text as children of an element.
export function plain(text) {
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(ODD)) {
    parts.push(text.slice(at, found.index), odd(found[0]));
    at = found.index + found[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}

// The beginning of a text, in one line.
export function short(text, most = 160) {
  const line = (text ?? "").slice(0, most * 2).replace(/\s+/g, " ").trim();
  const letters = [...line];
  return plain(letters.length > most || (text ?? "").length > most * 2 ? `${letters.slice(0, most).join("")}…` : line);
}

// A whole text with its line breaks. `open` is how many characters are shown already, `more` asks for more.
export function block(text, open, more) {
  const most = Math.max(open ?? 0, PART);
  const shown = h("pre", { class: "text", dir: "auto", tabindex: "0" }, plain(text.slice(0, most)));
  if (text.length <= most) return [shown];
  const left = (text.length - most).toLocaleString();
  const button = h("button", { type: "button", on: { click: () => more(most * 4) } }, "Show more of it");
  return [shown, h("p", { class: "quiet" }, `${left} characters are not shown. `, button)];
}

function odd(run) {
  const codes = [...run];
  const names = codes.slice(0, SHOWN_OF_A_RUN).map(name);
  const rest = codes.length > SHOWN_OF_A_RUN ? ` ×${codes.length}` : "";
  return h("span", { class: "odd", title: "a character that is not shown as such" }, names.join(" ") + rest);
}

function name(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}
