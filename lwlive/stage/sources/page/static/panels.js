// The parts of the page that are more than one control: presets, cues, tempo, routes, outputs.

import { address, Bar, learn, trigger } from "./controls.js";
import { find, flash, make, shown, words } from "./dom.js";

const SHAPES = ["sine", "triangle", "saw", "square", "smooth", "stepped"];
const BANDS = ["low", "mid", "high", "level", "onset", "centroid"];

export function presets(list, link) {
  find("presets").replaceChildren(...list.map(({ name, picture }) => {
    const button = make("button", {
      class: "look", type: "button", "data-preset": name,
      onclick: () => { flash(button); link.ask([address("preset"), name]); },
    }, ...(picture ? [make("img", { src: `preset/${encodeURIComponent(name)}.jpg`, alt: "", loading: "lazy" })] : []),
    make("span", {}, name));
    return make("div", { class: "tile" }, button, learn(link, `preset ${name}`));
  }));
}

export class Tempo {
  constructor(triggers, link) {
    this.link = link;
    this.number = make("b", {}, "–");
    this.by = make("span", { class: "word" }, "tap here");
    this.dots = [0, 1, 2, 3].map(() => make("i"));
    const tap = triggers.find((each) => each.name === "tap");
    const beat = triggers.find((each) => each.name === "beat");
    const pad = make("button", { id: "pad", type: "button", "aria-label": "tap the tempo", title: tap?.help },
      make("span", {}, this.number, this.by),
      make("span", { class: "beats", "aria-hidden": "true" }, ...this.dots));
    pad.addEventListener("pointerdown", (event) => this.tap(event));
    pad.addEventListener("keydown", (event) => {
      if (!event.repeat && (event.key === " " || event.key === "Enter")) { event.preventDefault(); this.tap(event); }
    });
    find("tempo").replaceChildren(pad, ...(beat ? [make("div", { class: "row" }, trigger(beat, link), learn(link, "beat"))] : []));
    requestAnimationFrame(() => this.draw());
  }

  // the finger's own moment goes along, so that the network does not blur the tempo
  tap(event) {
    this.link.ask([address("tap"), 1], event);
  }

  tell(tempo) {
    this.tempo = tempo;
    this.number.replaceChildren(tempo.bpm.toFixed(1), make("small", {}, " BPM"));
    this.by.textContent = tempo.by ? `kept by ${tempo.by}` : "tap here";
  }

  beat() {
    const { bpm, beat, at } = this.tempo;
    return beat + ((this.link.now() - at) * bpm) / 60;
  }

  draw() {
    if (this.tempo && this.link.up) {
      const beat = this.beat();
      const number = ((Math.floor(beat) % 4) + 4) % 4;
      const lit = beat - Math.floor(beat) < 0.6;
      this.dots.forEach((dot, i) => dot.classList.toggle("now", i === number && lit));
    }
    requestAnimationFrame(() => this.draw());
  }
}

export class Routes {
  constructor(controls, link) {
    this.link = link;
    this.bars = new Map();
    this.list = make("div", { class: "list" });
    const numbers = controls.filter((each) => each.kind === "float" || each.kind === "int");
    const options = (names) => names.map((name) => make("option", { value: name }, words(name)));
    this.name = make("select", {}, ...options(numbers.map((each) => each.name)));
    this.name.value = "speed";
    this.source = make("select", {}, make("optgroup", { label: "oscillators" }, ...options(SHAPES)), make("optgroup", { label: "sound" }, ...options(BANDS)));
    this.period = make("input", { inputmode: "decimal", value: "4" });
    this.unit = make("select", {}, ...options(["beats", "seconds"]));
    const label = (text, field) => make("label", {}, make("span", { class: "word" }, text), field);
    const every = [label("every", this.period), label("in", this.unit)];
    this.source.addEventListener("change", () => every.forEach((each) => { each.hidden = BANDS.includes(this.source.value); }));
    const add = make("button", { class: "plain trigger", type: "button", onclick: () => this.add() }, "Add the route");
    find("routes").replaceChildren(this.list, make("details", {}, make("summary", {}, "New route"),
      make("div", { class: "new" }, label("moves", this.name), label("by", this.source), ...every, add)));
    this.tell([]);
  }

  add() {
    const taken = new Set(this.routes.map((each) => each.number));
    const free = Array.from({ length: 16 }, (_, i) => i + 1).find((number) => !taken.has(number)) ?? 16;
    const source = this.source.value;
    const say = (key, value) => this.link.ask([address(`route/${free}/${key}`), value]);
    say("parameter", this.name.value);
    if (BANDS.includes(source)) say("band", source);
    else { say("lfo", source); say(this.unit.value, this.period.value.replace(",", ".")); }
    say("amount", 0.25);
  }

  tell(routes) {
    this.routes = routes;
    const numbers = routes.map((each) => each.number);
    if (String(numbers) !== String([...this.bars.keys()])) {
      this.bars = new Map(routes.map((route) => [route.number, this.bar(route)]));
      this.list.replaceChildren(...[...this.bars.values()].map((each) => each.element));
      if (!routes.length) this.list.replaceChildren(make("p", { class: "about" }, "There is none yet."));
    }
    for (const route of routes) {
      const { bar } = this.bars.get(route.number);
      bar.name.replaceChildren(`${words(route.name)} · ${described(route.source)}`);
      bar.tell((route.amount + 1) / 2, route.amount.toFixed(2), "");
    }
  }

  bar({ number }) {
    const bar = new Bar({
      name: `route-${number}`, label: `route ${number}`, step: 0.01, middle: true, help: "how far this route moves its control",
      send: (at) => this.link.follow([address(`route/${number}/amount`), 2 * at - 1]),
      typed: (text) => this.link.ask([address(`route/${number}/amount`), text.replace(",", ".")]),
    });
    const off = make("button", { class: "off", type: "button", "aria-label": `take route ${number} away`, onclick: () => this.link.ask([address(`route/${number}/off`), 1]) }, "×");
    return { bar, element: make("div", { class: "route" }, bar.bar, off) };
  }
}

function described(source) {
  if (source.shape === undefined) return `sound, ${source.name}`;
  return `${source.shape}, ${shown(source.period).replace(/\.?0+$/, "")} ${source.unit}`;
}

// The sound coming in: a bar for each band that a route can follow.
export class Bands {
  constructor() {
    this.bars = BANDS.map((name) => make("li", {}, make("span", {}, name)));
    find("bands").replaceChildren(...this.bars);
  }

  tell(bands) {
    find("bands").hidden = !bands;
    this.bars.forEach((bar, i) => bar.style.setProperty("--at", Math.min(1, Math.max(0, bands?.[i] ?? 0)).toFixed(2)));
  }
}

export class Cues {
  constructor(triggers, link) {
    this.link = link;
    this.now = make("b", {});
    this.where = make("span", { class: "word" });
    this.next = make("span", { class: "about" });
    this.note = make("p", {});
    const of = (name) => triggers.find((each) => each.name === name);
    const buttons = ["back", "go"].map(of).filter(Boolean).map((each) => trigger(each, link));
    find("cues").replaceChildren(
      make("div", { class: "cue", "aria-live": "polite" }, this.where, this.now),
      make("div", { class: "steps" }, ...buttons),
      make("div", { class: "ahead" }, this.next, this.note));
  }

  // cue: the one that is on; the one that `go` leads to, with its note; when that comes by itself
  tell(cue) {
    find("cue-panel").hidden = !cue;
    if (!cue) return;
    const soon = cue.until_s === null ? "" : `, in ${Math.ceil(cue.until_s)} s`;
    write(this.where, cue.number ? `cue ${cue.number} of ${cue.count}` : `${cue.count} cues`);
    write(this.now, cue.name ?? "before the first");
    write(this.next, cue.next_name ? `go leads to ${cue.next_name}${soon}` : "this is the last");
    write(this.note, cue.note ?? "");
  }
}

function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

// Outputs for other programs: a switch for each that the show has.
export class Outputs {
  constructor(link) {
    this.link = link;
    this.known = new Map();
  }

  tell(outputs) {
    for (const [name, on] of Object.entries(outputs)) {
      if (!this.known.has(name)) {
        const button = make("button", {
          class: "switch", type: "button", role: "switch", "aria-label": words(name),
          onclick: () => this.link.ask([address(`output/${name}`), button.getAttribute("aria-checked") !== "true"]),
        }, words(name));
        this.known.set(name, button);
        find("outputs").append(button);
      }
      this.known.get(name).setAttribute("aria-checked", String(on === true));
    }
  }
}
