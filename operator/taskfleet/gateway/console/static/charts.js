// Small pictures of numbers. What they show is said in words too, so they are hidden from those who hear the page.

import { h } from "./dom.js";

const PRIORITIES = ["critical", "high", "normal", "low"];

// A line with an area below it, from the oldest to the newest. `values` are numbers; the highest reaches the top.
export function line(values, { width = 120, height = 24, name = "" } = {}) {
  if (values.length < 2) return h("svg", { class: `line ${name}`, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const top = Math.max(1, ...values);
  const step = width / (values.length - 1);
  const points = values.map((value, at) => `${round(at * step)},${round(height - 1 - (value / top) * (height - 2))}`);
  const path = `M${points.join("L")}`;
  return h(
    "svg",
    { class: `line ${name}`, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    h("path", { class: "area", d: `${path}L${width},${height}L0,${height}Z` }),
    h("path", { class: "stroke", d: path }),
  );
}

// A bar of the four priorities, each as wide as its share.
export function depth(depths, width = 120) {
  const total = PRIORITIES.reduce((sum, name) => sum + (depths?.[name] ?? 0), 0);
  let at = 0;
  const parts = PRIORITIES.map((name) => {
    const share = total ? (width * (depths?.[name] ?? 0)) / total : 0;
    const part = h("rect", { class: name, x: round(at), y: "0", width: round(share), height: "6" });
    at += share;
    return part;
  });
  const attributes = { class: "depth", viewBox: `0 0 ${width} 6`, preserveAspectRatio: "none", "aria-hidden": "true" };
  return h("svg", attributes, h("rect", { class: "nothing", x: "0", y: "0", width, height: "6" }), parts);
}

// What the colours of the bar mean.
export function legend() {
  const one = (name) => h("span", null, h("svg", { class: "depth", viewBox: "0 0 6 6", "aria-hidden": "true" }, h("rect", { class: name, x: "0", y: "0", width: "6", height: "6" })), name);
  return h("p", { class: "legend" }, PRIORITIES.map(one));
}

export function depthWords(depths) {
  return PRIORITIES.filter((name) => depths?.[name]).map((name) => `${depths[name].toLocaleString()} ${name}`).join(", ");
}

function round(value) {
  return Math.round(value * 10) / 10;
}
