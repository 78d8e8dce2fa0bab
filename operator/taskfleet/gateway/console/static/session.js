// The key that this tab shows, and who it is. It is kept for as long as the tab is open, and nowhere else.

const NAME = "taskfleet-key";

let who = null;

export function key() {
  return sessionStorage.getItem(NAME) ?? "";
}

export function takeKey(text) {
  sessionStorage.setItem(NAME, text);
}

export function forgetKey() {
  sessionStorage.removeItem(NAME);
  who = null;
}

// Who we are, as /v1/key says it; null until it has.
export function self() {
  return who;
}

export function become(told) {
  who = told;
}

export function may(right) {
  return who !== null && who.rights.includes(right);
}
