// Asks for a key, when the gateway wants one.

import { h } from "./dom.js";
import { field, insteadOf } from "./pieces.js";

export function keyPage(use, trouble) {
  function submit(event) {
    event.preventDefault();
    use(new FormData(event.target).get("key").trim());
  }
  function draw() {
    return [
      h("h1", { tabindex: "-1" }, "API key"),
      h("p", null, "This gateway serves those who have a key. It is kept for as long as this tab is open, and nowhere else."),
      trouble && trouble.code !== "missing_api_key" && h("div", { role: "alert" }, insteadOf(trouble)),
      h("form", { class: "key", on: { submit } },
        field("Key", h("input", { name: "key", type: "password", required: true, autocomplete: "off", spellcheck: "false" })),
        h("button", { class: "main" }, "Use it")),
    ];
  }
  return { title: "API key", draw };
}
