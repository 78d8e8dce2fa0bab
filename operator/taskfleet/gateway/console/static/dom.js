// What is on the page, from descriptions of it: `h` describes, `render` changes what is there until it is so. Whatever
// stays keeps its place, and with it focus, selection and scrolling. Texts become text nodes and nothing else; there is
// no way from a text to HTML, to a handler or to an address outside this page.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "rect", "path", "line", "title"]);
const PAGE = /^(#|\.\.\/v1\/|https:\/\/github\.com\/)/;

// An element: h("a", { href: "#/tasks", key: "1", on: { click } }, "text", h("b", null, "more")). An attribute that is
// null or false is not there. `key` says which of its siblings it is, from one time to the next.
export function h(tag, attributes, ...children) {
  const { key = null, on = {}, ...rest } = attributes ?? {};
  return { tag, key, on, attributes: rest, children: children.flat(Infinity).filter(isSomething) };
}

// Make `children` all that is in `container`.
export function render(container, children) {
  const wanted = [children].flat(Infinity).filter(isSomething);
  const keyed = new Map();
  const others = [];
  for (const node of [...container.childNodes]) {
    const key = node.described?.key ?? null;
    if (key === null) others.push(node);
    else keyed.set(key, node);
  }
  const nodes = wanted.map((description) => reused(description, keyed, others) ?? made(description, container));
  for (const node of [...keyed.values(), ...others]) node.remove(); // first, or what stands behind it would be moved
  let place = container.firstChild;
  nodes.forEach((node, at) => {
    if (node === place) place = place.nextSibling;
    else move(container, node, place);
    shape(node, wanted[at]);
  });
}

// What is moved loses the focus on the way.
function move(container, node, place) {
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  container.insertBefore(node, place);
  focused?.focus({ preventScroll: true });
}

function isSomething(child) {
  return child !== null && child !== undefined && child !== false && child !== "";
}

function reused(description, keyed, others) {
  const key = description.key ?? null;
  if (key !== null) {
    const node = keyed.get(key);
    if (!node || node.described.tag !== description.tag) return null;
    keyed.delete(key);
    return node;
  }
  const at = others.findIndex((node) => node.described?.tag === description.tag);
  return at < 0 ? null : others.splice(at, 1)[0];
}

function made(description, container) {
  if (description.tag === undefined) {
    const text = document.createTextNode("");
    text.described = {};
    return text;
  }
  const drawn = DRAWN.has(description.tag) && (description.tag === "svg" || container.namespaceURI === SVG);
  const node = drawn ? document.createElementNS(SVG, description.tag) : document.createElement(description.tag);
  node.described = { tag: description.tag, key: description.key, attributes: {}, on: {} };
  return node;
}

function shape(node, description) {
  if (description.tag === undefined) {
    if (node.data !== String(description)) node.data = String(description);
    return;
  }
  const before = node.described;
  for (const name of Object.keys(before.attributes)) if (!(name in description.attributes)) put(node, name, null);
  for (const [name, value] of Object.entries(description.attributes)) {
    if (before.attributes[name] !== value) put(node, name, value);
  }
  for (const kind of Object.keys(description.on)) {
    if (!(kind in before.on)) node.addEventListener(kind, (event) => node.described.on[kind]?.(event));
  }
  // A kind that was listened to once stays in the list, without a handler, so that it is not listened to twice.
  const silent = Object.fromEntries(Object.keys(before.on).map((kind) => [kind, null]));
  node.described = { ...description, on: { ...silent, ...description.on } };
  render(node, description.children);
}

function put(node, name, value) {
  if (name.startsWith("on") || name === "style" || name === "srcdoc") throw new Error(`${name}: not on this page`);
  if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
    return;
  }
  if ((name === "href" || name === "src" || name === "action") && !PAGE.test(value)) throw new Error(`${name}: outside`);
  node.setAttribute(name, value === true ? "" : String(value));
  if (name === "value" && "value" in node && node !== document.activeElement) node.value = value;
  if (name === "checked") node.checked = true;
}
