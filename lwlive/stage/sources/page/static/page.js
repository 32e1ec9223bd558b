// The page: what the show says goes to its places, what a finger does goes to the show.

import { control, trigger, learn } from "./controls.js";
import { find, flash, make, shown, words } from "./dom.js";
import { Link } from "./link.js";
import { Bands, Cues, Outputs, presets, Routes, Tempo } from "./panels.js";

const TABS = { play: "Play", looks: "Looks", time: "Time", room: "Room", state: "State" };
// Where controls stand; one that is not named here stands with its kind, so that none is missing.
const PLACES = {
  prompt: ["prompt", "negative", "transition"],
  walk: ["speed", "guidance", "steps", "seed", "pace", "loop"],
  blend: ["depth", "crossfeed", "crossfeed_range", "crossfeed_decay", "damping"],
  morph: ["morph", "morph_a", "morph_b"],
  time: ["bpm", "sync", "quantise"],
  room: ["brightness", "fade", "hud", "record"],
};
const ALWAYS = ["hold", "next", "tap", "blackout", "panic"];
const ELSEWHERE = ["tap", "beat", "go", "back", "next", "panic"]; // triggers with a place of their own
const SAID_MS = 6000;
const LOG_LINES = 100;
const EVENTS = ["surface", "presets", "no", "t", "you"];
const isSection = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

const state = { values: {}, parts: {} };
const controls = new Map();
let tempo, routes, bands, cues, outputs, built = "";

const link = new Link({ news, picture, changed });

function build({ controls: specs, triggers, version }) {
  const seen = JSON.stringify(specs) + JSON.stringify(triggers);
  if (seen === built) return;
  built = seen;
  controls.clear();
  find("always").replaceChildren();
  for (const each of document.querySelectorAll("[data-controls]")) each.replaceChildren();
  const placed = new Set(Object.values(PLACES).flat());
  for (const [place, names] of Object.entries(PLACES)) {
    const others = specs.filter((each) => !placed.has(each.name) && !ALWAYS.includes(each.name) && (each.look ? "walk" : "room") === place);
    const own = names.map((name) => specs.find((each) => each.name === name)).filter(Boolean);
    for (const spec of [...own, ...others]) {
      controls.set(spec.name, control(spec, link));
      document.querySelector(`[data-controls="${place}"]`).append(controls.get(spec.name).element);
    }
  }
  for (const name of ALWAYS) {
    const spec = specs.find((each) => each.name === name);
    const fired = triggers.find((each) => each.name === name);
    if (spec) {
      controls.set(name, control(spec, link));
      const { button } = controls.get(name);
      button.classList.add(name);
      find("always").append(button);
    } else if (fired) {
      find("always").append(trigger(fired, link));
    }
  }
  find("triggers").replaceChildren(...triggers.filter((each) => !ELSEWHERE.includes(each.name))
    .map((each) => make("div", { class: "row" }, trigger(each, link), learn(link, each.name))));
  tempo = new Tempo(triggers, link);
  routes = new Routes(specs, link);
  bands = new Bands();
  cues = new Cues(triggers, link);
  outputs = new Outputs(link);
  state.version = version;
}

function news(message) {
  if (message.surface) {
    build(message.surface);
    log.day = "";
    find("log").replaceChildren(); // it comes whole to whoever has just come
  }
  if (message.presets) {
    presets(message.presets, link);
    for (const each of controls.values()) each.presets?.(message.presets.map(({ name }) => name));
  }
  if (message.no) refuse(message.no);
  for (const [name, value] of Object.entries(message)) {
    if (EVENTS.includes(name)) continue;
    const sections = isSection(value) && isSection(state[name]);
    state[name] = sections ? { ...state[name], ...value } : value; // of a section only what is new comes
  }
  if (!built) return;
  for (const [name, value] of Object.entries(message.values ?? {})) controls.get(name)?.tell(value);
  if (message.tempo) tempo.tell(state.tempo);
  if (message.routes) {
    routes.tell(message.routes);
    const moved = new Set(message.routes.filter((each) => each.amount).map((each) => each.name));
    for (const [name, each] of controls) each.routed?.(moved.has(name));
  }
  for (const [name, at] of Object.entries(message.moved ?? {})) controls.get(name)?.bar?.ghost(at);
  if (message.preset || message.presets) current(state.preset?.[0]);
  if ("bands" in message) bands.tell(message.bands);
  if ("cue" in message) cues.tell(state.cue);
  if (message.outputs) outputs.tell(state.outputs);
  if ("learning" in message) learning(message.learning);
  if ("notice" in message) find("notice").textContent = message.notice ?? "";
  if (message.log) log(message.log);
  document.body.classList.toggle("midi", Boolean(state.parts.midi?.ports?.length));
  figures();
}

function picture(blob) {
  const image = find("picture"), before = image.src;
  image.src = URL.createObjectURL(blob);
  image.hidden = false;
  if (before) URL.revokeObjectURL(before);
}

function changed(said, up) {
  document.body.classList.toggle("offline", !up);
  find("link").textContent = said;
  if (!up) [find("dark").textContent, find("dark").hidden] = [said, false];
  for (const name of ["panels", "always"]) find(name).inert = !up;
}

function refuse(why, calm = false) {
  const place = find("refusal");
  place.classList.toggle("calm", calm);
  place.textContent = why;
  place.classList.add("said");
  clearTimeout(refuse.timer);
  refuse.timer = setTimeout(() => { place.classList.remove("said"); place.textContent = ""; }, SAID_MS);
}

function current(preset) {
  for (const each of document.querySelectorAll("[data-preset]")) each.setAttribute("aria-current", String(each.dataset.preset === preset));
}

function learning(target) {
  for (const each of document.querySelectorAll(".learn")) each.setAttribute("aria-pressed", String(each.dataset.target === target));
  if (target) refuse(`move a control of your MIDI controller: it becomes ${words(target)}`, true);
}

function figures() {
  const dark = find("dark");
  if (link.up) dark.hidden = state.pictures && state.level > 0;
  if (link.up) dark.textContent = state.pictures ? "blackout" : [state.model, state.doing, state.trouble].filter(Boolean).join(" · ");
  const slow = state.fps < 0.9 * state.fps_target && state.pictures;
  list(find("readouts"), [
    ["frames/s", shown(state.fps, "int"), `of ${shown(state.fps_target, "int")}`, slow],
    ["late", shown(state.late, "int"), ""],
    ["latency", state.latency_ms === null ? "–" : shown(state.latency_ms, "int"), state.latency_ms === null ? "" : "ms"],
    ["tempo", state.tempo ? state.tempo.bpm.toFixed(1) : "–", "BPM"],
  ]);
  if (find("figures").offsetParent === null) return;
  list(find("figures"), [
    ["engine", state.engine], ["model", state.model], ["computes in", state.dtype ?? "–"],
    ["frames/s shown", shown(state.fps, "int")], ["through the model", shown(state.fps_sampled, "int")],
    ["in-betweens", state.stride > 1 ? `${state.stride - 1} of ${state.stride}` : state.stride ? "none" : "–"],
    ["ready in the ring", shown(state.queued, "int")], ["late", shown(state.late, "int")],
    ["latency", state.latency_ms === null ? "–" : `${shown(state.latency_ms, "int")} ms`],
    ["frames with NaN, replaced", shown(state.replaced, "int")],
    ["engines lost", shown(state.deaths, "int"), "", state.deaths > 0], ["lost to", state.trouble || "–"],
    ["keyframe", shown(state.phase)], ["running for", age(state.since_start_s)],
    ...Object.entries(state.parts).flatMap(([part, said]) => Object.entries(said ?? {})
      .filter(([, value]) => ["number", "string", "boolean"].includes(typeof value))
      .map(([name, value]) => [`${words(part)}: ${words(name)}`, shown(value, Number.isInteger(value) ? "int" : "float")])),
    ["lwlive", state.version],
  ]);
}

// Rows of a list of figures; only what has changed is written, so that nothing flickers.
function list(place, rows) {
  if (place.childElementCount !== 2 * rows.length) {
    place.replaceChildren(...rows.flatMap(() => [make("dt"), make("dd")]));
    if (place.id === "readouts") place.replaceChildren(...rows.map(() => make("div", {}, make("dt"), make("dd"))));
  }
  const [names, values] = [place.querySelectorAll("dt"), place.querySelectorAll("dd")];
  rows.forEach(([name, value, unit = "", bad = false], i) => {
    const text = `${value ?? "–"}\n${unit}`;
    names[i].textContent !== name && (names[i].textContent = name);
    values[i].classList.toggle("bad", bad);
    if (values[i].dataset.text === text) return;
    values[i].dataset.text = text;
    values[i].replaceChildren(String(value ?? "–"), ...(unit ? [" ", make("small", {}, unit)] : []));
  });
}

function age(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  return parts.map((each) => String(each).padStart(2, "0")).join(":");
}

// Lines that are new; a day is written where it begins.
function log(lines) {
  const place = find("log"), below = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
  for (const [, when, level, text] of lines) {
    const [day, at] = when.split(" ");
    if (day && day !== log.day) place.append(make("li", { class: "day" }, day));
    if (day) log.day = day;
    place.append(make("li", { class: level.toLowerCase() }, ...(at ? [make("time", { datetime: when }, at)] : []), text));
  }
  const old = place.querySelectorAll("li:not(.day)");
  for (let i = 0; i < old.length - LOG_LINES; i++) old[i].remove();
  while (place.children[1]?.classList.contains("day")) place.firstElementChild.remove(); // a day that is gone
  if (below) place.scrollTop = place.scrollHeight;
}

function open(tab) {
  for (const each of document.querySelectorAll(".panel")) each.classList.toggle("open", each.dataset.tab === tab);
  for (const each of find("tabs").children) {
    const yes = each.dataset.tab === tab;
    each.setAttribute("aria-selected", String(yes));
    each.tabIndex = yes ? 0 : -1;
  }
  find("log").scrollTop = find("log").scrollHeight;
  try { sessionStorage.setItem("lwlive tab", tab); } catch { /* a private window */ }
  figures();
}

function tabs() {
  find("tabs").replaceChildren(...Object.entries(TABS).map(([name, label]) => make("button", {
    type: "button", role: "tab", "data-tab": name, "aria-controls": "panels",
    onclick: () => { open(name); scrollTo({ top: 0 }); },
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const names = Object.keys(TABS), to = names[(names.indexOf(name) + step + names.length) % names.length];
      open(to);
      find("tabs").querySelector(`[data-tab="${to}"]`).focus();
    },
  }, label)));
  let kept = null;
  try { kept = sessionStorage.getItem("lwlive tab"); } catch { /* a private window */ }
  open(kept in TABS ? kept : "play");
}

find("save").addEventListener("click", (event) => { flash(event.target); link.ask(["save"]); });
tabs();
