// Making elements, and little else.

export function make(tag, about = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const find = (name) => document.getElementById(name);

export const words = (name) => name.replaceAll("_", " ");

// a number as people read it
export function shown(value, kind = "float") {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value !== "number") return String(value);
  if (kind === "int") return String(Math.round(value));
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

export function flash(element) {
  element.classList.add("flash");
  setTimeout(() => element.classList.remove("flash"), 180);
}
