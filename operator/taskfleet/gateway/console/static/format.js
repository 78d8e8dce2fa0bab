// Numbers, times and durations as people read them.

const UNITS = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
  ["s", 1],
];

export function number(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString();
}

// Seconds in its two largest units: 3h 12m. Below ten seconds with a tenth.
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${(Math.round(seconds * 10) / 10).toLocaleString()} s`;
  const whole = Math.round(seconds);
  const first = UNITS.findIndex(([, size]) => whole >= size);
  const [unit, size] = UNITS[first];
  const [small, least] = UNITS[first + 1] ?? [];
  const rest = least ? Math.floor((whole % size) / least) : 0;
  return rest ? `${Math.floor(whole / size)}${unit} ${rest}${small}` : `${Math.floor(whole / size)} ${unit}`;
}

export function rate(perMinute) {
  if (!perMinute) return "0/min";
  const digits = perMinute < 10 ? 1 : 0;
  return `${perMinute.toLocaleString(undefined, { maximumFractionDigits: digits })}/min`;
}

export function clock(moment) {
  return new Date(moment).toLocaleTimeString();
}

// A moment as the API writes it, or in seconds since the epoch.
export function moment(value) {
  if (value === null || value === undefined) return NaN;
  return typeof value === "number" ? value * 1000 : Date.parse(value);
}

// The date is left out of what is of today.
export function dateAndTime(value) {
  const at = new Date(moment(value));
  if (Number.isNaN(at.getTime())) return "–";
  return at.toDateString() === new Date().toDateString() ? at.toLocaleTimeString() : at.toLocaleString();
}

export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}
