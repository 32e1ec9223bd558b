// The controls of parameters: faders, switches, texts. What each is comes from its declaration.

import { flash, make, shown, words } from "./dom.js";

const STILL_MS = 400; // how long after a finger has left, a fader follows the show again
const PAST = 12; // prompts remembered
const FINE_PX = 60;

export const address = (name) => `/lwlive/${name}`;

// a button beside a control that binds the next thing moved on a MIDI controller to it
export function learn(link, target) {
  const button = make("button", {
    class: "learn", type: "button", "data-target": target, "aria-pressed": "false",
    "aria-label": `learn ${words(target)} from a MIDI controller`,
    onclick: () => link.ask(["learn", button.getAttribute("aria-pressed") === "true" ? null : target]),
  }, "learn");
  return button;
}

export function control(spec, link) {
  if (spec.kind === "str") return spec.look ? new Text(spec, link) : new Choice(spec, link);
  if (spec.kind === "bool") return new Switch(spec, link);
  return new Fader(spec, link);
}

// A bar that a finger drags. `send(position)` and `typed(text)` say what comes of it.
export class Bar {
  constructor({ name, label, step, send, typed, middle = false, help = "" }) {
    this.send = send;
    this.held = false;
    this.at = 0;
    const id = `bar-${name}`;
    this.input = make("input", { type: "range", id, min: 0, max: 1, step, "aria-describedby": `${id}-help` });
    this.name = make("label", { for: id }, label);
    this.value = make("button", {
      class: "value", type: "button", "aria-label": `${label}, type a value`, onclick: () => this.dragged || this.type(typed),
    });
    this.bar = make("div", { class: `fader${middle ? " middle" : ""}`, title: help },
      make("span", { class: "fill" }), this.input, this.name, this.value,
      make("span", { id: `${id}-help`, hidden: true }, help));
    this.input.addEventListener("input", () => this.move(Number(this.input.value)));
    this.bar.addEventListener("pointerdown", (event) => this.grab(event));
    this.bar.addEventListener("dblclick", (event) => event.preventDefault());
  }

  // what the show says; told again when the finger has left
  tell(at, text, unit) {
    this.told = [at, text, unit];
    if (this.held) return;
    this.paint(at);
    this.value.replaceChildren(text, ...(unit ? [" ", make("small", {}, unit)] : []));
    this.input.setAttribute("aria-valuetext", `${text} ${unit}`);
  }

  paint(at) {
    this.at = at;
    this.bar.style.setProperty("--at", at);
    this.input.value = at;
  }

  move(at) {
    const to = Math.min(1, Math.max(0, at));
    this.hold();
    this.paint(to);
    this.send(to);
    this.settle();
  }

  hold() {
    this.held = true;
    clearTimeout(this.timer);
  }

  settle() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.held = false;
      this.bar.classList.remove("held");
      if (this.told) this.tell(...this.told);
    }, STILL_MS);
  }

  grab(event) {
    if (event.button !== 0 || event.target.closest("input.type")) return;
    const width = this.bar.clientWidth;
    const mouse = event.pointerType === "mouse";
    const onValue = event.target.closest(".value");
    let from = this.at, x = event.clientX, moved = false;
    const start = event.clientY;
    this.dragged = false;
    if (mouse && !onValue) {
      from = (event.clientX - this.bar.getBoundingClientRect().left) / width;
      this.move(from);
    }
    const drag = (move) => {
      if (!moved && Math.abs(move.clientX - x) < 4) return;
      if (!moved) this.bar.setPointerCapture(event.pointerId);
      moved = true;
      this.hold();
      this.bar.classList.add("held");
      const away = Math.max(0, Math.abs(move.clientY - start) - 40);
      from += (move.clientX - x) / width / (1 + away / FINE_PX);
      x = move.clientX;
      this.paint(Math.min(1, Math.max(0, from)));
      this.send(this.at);
    };
    const drop = () => {
      for (const [name, doing] of Object.entries({ pointermove: drag, pointerup: drop, pointercancel: drop }))
        this.bar.removeEventListener(name, doing);
      this.dragged = moved; // the click that follows is none
      this.settle();
    };
    this.bar.addEventListener("pointermove", drag);
    this.bar.addEventListener("pointerup", drop);
    this.bar.addEventListener("pointercancel", drop);
  }

  type(typed) {
    if (!typed) return;
    const field = make("input", { class: "type", inputmode: "decimal", "aria-label": `${this.name.textContent}, a value` });
    const done = (send) => {
      field.onblur = null;
      if (send && field.value.trim()) typed(field.value.trim());
      field.remove();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "Escape") done(event.key === "Enter");
    });
    field.onblur = () => done(false);
    this.bar.append(field);
    field.focus();
  }
}

class Fader {
  constructor(spec, link) {
    this.spec = spec;
    const whole = spec.kind === "int";
    this.bar = new Bar({
      name: spec.name,
      label: words(spec.name),
      help: spec.help,
      step: whole ? 1 / (spec.travel[1] - spec.travel[0]) : 0.01,
      send: (at) => {
        this.words(this.valueAt(at));
        link.follow(["osc", `/lwlive/fader/${spec.name}`, at]);
      },
      typed: (text) => link.ask(["osc", address(spec.name), text]),
    });
    this.element = make("div", { class: "row" }, this.bar.bar, learn(link, spec.name));
  }

  // Spec.value and Spec.position, as the show has them
  valueAt(at) {
    const [low, high] = this.spec.travel;
    return low + (high - low) * at ** this.spec.curve;
  }

  positionOf(value) {
    const [low, high] = this.spec.travel;
    return Math.min(1, Math.max(0, (value - low) / (high - low))) ** (1 / this.spec.curve);
  }

  words(value) {
    const text = shown(value, this.spec.kind);
    this.bar.value.replaceChildren(text, ...(this.spec.unit ? [" ", make("small", {}, this.spec.unit)] : []));
    this.bar.input.setAttribute("aria-valuetext", `${text} ${this.spec.unit}`);
  }

  tell(value) {
    const own = value === null;
    this.bar.tell(own ? 0 : this.positionOf(value), own ? "model's own" : shown(value, this.spec.kind), own ? "" : this.spec.unit);
  }

  routed(yes) {
    this.bar.name.classList.toggle("moved", yes);
  }
}

class Switch {
  constructor(spec, link) {
    this.button = make("button", {
      class: "switch", type: "button", role: "switch", "aria-checked": "false", "aria-label": words(spec.name), title: spec.help,
      onclick: () => link.ask(["osc", address(spec.name), this.button.getAttribute("aria-checked") !== "true"]),
    }, words(spec.name));
    this.element = make("div", { class: "row" }, this.button, learn(link, spec.name));
  }

  tell(value) {
    this.button.setAttribute("aria-checked", String(value === true));
  }
}

class Text {
  constructor(spec, link) {
    this.spec = spec;
    this.link = link;
    const id = `text-${spec.name}`;
    this.field = make("textarea", { id, rows: 1, maxlength: spec.longest, spellcheck: "false", autocapitalize: "off", enterkeyhint: "send", "aria-describedby": `${id}-help` });
    this.past = make("ul", { class: "past", "aria-label": `earlier ${words(spec.name)}` });
    this.element = make("div", { class: "text" },
      make("label", { class: "word", for: id }, words(spec.name)),
      this.field,
      make("span", { id: `${id}-help`, hidden: true }, spec.help),
      make("div", { class: "does" },
        make("button", { type: "button", onclick: () => this.edit(false) }, "Cancel"),
        make("button", { type: "button", class: "send", onclick: () => this.send(this.field.value) }, spec.name === "prompt" ? "Bend there" : "Set")),
      this.past);
    this.field.addEventListener("input", () => {
      this.element.classList.toggle("edited", this.field.value !== this.told);
      this.grow();
    });
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); this.send(this.field.value); }
      if (event.key === "Escape") this.edit(false);
    });
    this.history();
  }

  // as many lines as the text has, where the browser does not see to that itself
  grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }

  edit(yes) {
    this.element.classList.toggle("edited", yes);
    if (!yes) { this.field.value = this.told ?? ""; this.field.blur(); }
  }

  send(text) {
    this.link.ask(["osc", address(this.spec.name), text]);
    this.remember(text);
    this.element.classList.remove("edited");
    this.field.blur();
  }

  tell(value) {
    if (value !== this.told) this.remember(value);
    this.told = value;
    this.history();
    if (!this.element.classList.contains("edited")) this.field.value = value ?? "";
    this.grow();
  }

  get kept() {
    try {
      const found = JSON.parse(localStorage.getItem(`lwlive ${this.spec.name}`));
      return Array.isArray(found) ? found.filter((each) => typeof each === "string") : [];
    } catch {
      return [];
    }
  }

  remember(text) {
    if (!text) return;
    const kept = [text, ...this.kept.filter((each) => each !== text)].slice(0, PAST);
    try { localStorage.setItem(`lwlive ${this.spec.name}`, JSON.stringify(kept)); } catch { /* a private window */ }
    this.history();
  }

  history() {
    const others = this.kept.filter((text) => text !== this.told);
    this.past.hidden = !others.length;
    this.past.replaceChildren(...others.map((text) => make("li", {}, make("button", { type: "button", onclick: () => this.send(text) }, text))));
  }
}

// A text that names a preset.
class Choice {
  constructor(spec, link) {
    const id = `text-${spec.name}`;
    this.names = [];
    this.field = make("select", { id, title: spec.help, onchange: () => link.ask(["osc", address(spec.name), this.field.value]) });
    this.element = make("div", { class: "choice" }, make("label", { class: "word", for: id }, words(spec.name)), this.field);
  }

  presets(names) {
    this.names = names;
    this.tell(this.told ?? "");
  }

  tell(value) {
    this.told = value;
    const names = [...new Set(["", value, ...this.names])];
    this.field.replaceChildren(...names.map((name) => make("option", { value: name }, name || "none")));
    this.field.value = value;
  }
}

export function trigger(spec, link, kind = "trigger") {
  const button = make("button", {
    class: `${kind} ${spec.name}`, type: "button", title: spec.help,
    onclick: (event) => { flash(button); link.ask(["osc", address(spec.name), 1], event); },
  }, words(spec.name));
  return button;
}
