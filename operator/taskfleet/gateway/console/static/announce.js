// What is told: to those who look, for a while at the edge of the page; to those who hear it, by a region that waits for
// a pause, or by one that does not.

const SHOWN_MS = 8000;

let hiding = 0;

export function say(words) {
  write("said", words, "good");
}

export function warn(words) {
  write("warned", words, "bad");
}

function write(id, words, kind) {
  const region = document.getElementById(id);
  // The same words twice are news twice, which a region only tells of when it changes.
  region.textContent = region.textContent === words ? `${words}\u00a0` : words;
  const shown = document.getElementById("told");
  shown.textContent = words;
  shown.className = `told ${kind}`;
  clearTimeout(hiding);
  hiding = setTimeout(() => { shown.className = "told"; }, SHOWN_MS);
}
