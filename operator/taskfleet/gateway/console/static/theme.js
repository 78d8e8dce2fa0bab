// Light, dark, or as the system has it: a choice of this browser.

const NAME = "taskfleet-theme";
export const CHOICES = ["system", "light", "dark"];

export function theme() {
  const chosen = localStorage.getItem(NAME);
  return CHOICES.includes(chosen) ? chosen : "system";
}

export function choose(next) {
  localStorage.setItem(NAME, next);
  apply();
}

function apply() {
  const chosen = theme();
  if (chosen === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", chosen);
}

apply();
