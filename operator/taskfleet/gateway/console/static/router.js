// Where we are: the part of the address behind #, such as #/tasks?queue=default/demo.

export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").map(decode).filter(Boolean), query: new URLSearchParams(query) };
}

// An address of this page. What is empty is left out of the query.
export function link(path, query = {}) {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  const text = words.toString().replaceAll("%2F", "/");
  return `#/${path.map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

export function queueLink(queue) {
  return link(["queues", ...queue.split("/")]);
}

export function taskLink(queue, id) {
  return link(["tasks", id], { queue });
}

export function go(address) {
  location.hash = address;
}

// Change the query without a new entry in the history, and without a new page.
export function requery(path, query) {
  history.replaceState(null, "", link(path, query));
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
