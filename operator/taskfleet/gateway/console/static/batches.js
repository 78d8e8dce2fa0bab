// Batches with their progress, newest first.

import { get, post } from "./api.js";
import { h } from "./dom.js";
import { dateAndTime, number as written } from "./format.js";
import { act, button, insteadOf, mark, number, sure, table } from "./pieces.js";
import { link } from "./router.js";
import { may } from "./session.js";
import { plain, short } from "./text.js";

const PAGE = "50";
const KINDS = { completed: "good", in_progress: "good", finalizing: "good", failed: "bad", expired: "bad" };
const ENDED = ["completed", "failed", "expired", "cancelled"];

export function batchesPage({ redraw }) {
  let batches = null;
  let more = false;
  let pages = 1;
  let trouble = null;

  async function refresh() {
    if (pages === 1) await look(null);
  }

  async function look(after) {
    try {
      const page = await get("v1/batches", { limit: PAGE, after });
      batches = after ? [...batches, ...page.data] : page.data;
      more = page.has_more;
      trouble = null;
    } catch (error) {
      trouble = error;
    }
    redraw();
  }

  async function next() {
    pages += 1;
    await look(batches.at(-1).id);
  }

  async function cancel(batch) {
    if (!(await sure(`Cancel batch ${batch.id}? What it has answered so far is kept.`, "Cancel the batch"))) return;
    await act(
      async () => {
        await post(`v1/batches/${encodeURIComponent(batch.id)}/cancel`);
        return `batch ${batch.id} is being cancelled`;
      },
      () => look(null),
    );
  }

  function draw() {
    return [h("h1", { tabindex: "-1" }, "Batches"), trouble && insteadOf(trouble), batches ? list() : !trouble && insteadOf(null)];
  }

  function list() {
    if (!batches.length) return h("p", { class: "empty" }, "There is no batch. POST /v1/batches, or an OpenAI client, makes one.");
    const heads = ["Batch", "Status", "Progress", number("Done"), number("Failed"), number("Of"), "Queue", "Created", "Until", ...(may("submit") ? ["Cancel"] : [])];
    return [table("Batches", heads, batches.map(row), { class: "batches" }), more && button("More", next)];
  }

  function row(batch) {
    const { total, completed, failed } = batch.request_counts;
    const bar = { value: String(completed + failed), max: String(Math.max(1, total)), "aria-label": `Progress of ${batch.id}` };
    const queue = batch.taskfleet.queue;
    return h(
      "tr",
      { key: batch.id },
      h("th", { scope: "row" }, h("a", { class: "id", href: link(["tasks"], { queue, batch: batch.id }) }, short(batch.id, 40)), why(batch)),
      h("td", null, mark(KINDS[batch.status] ?? "idle", batch.status.replaceAll("_", " "))),
      h("td", null, h("progress", bar)),
      h("td", { class: "number" }, written(completed)),
      h("td", { class: failed ? "number bad" : "number" }, written(failed)),
      h("td", { class: "number" }, written(total)),
      h("td", null, plain(queue)),
      h("td", null, dateAndTime(batch.created_at)),
      h("td", null, dateAndTime(batch.expires_at)),
      may("submit") && h("td", null, !ENDED.includes(batch.status) && batch.status !== "cancelling" && button("Cancel", () => cancel(batch), { label: `Cancel ${batch.id}` })),
    );
  }

  return { title: "Batches", draw, refresh };
}

function why(batch) {
  const first = batch.errors?.data?.[0];
  if (!first) return null;
  return h("small", { class: "bad" }, " ", short(`${first.line ? `line ${first.line}: ` : ""}${first.message}`, 120));
}
