// Untrusted text as nodes of the page, never as markup: what harness/report/text.py and harness/report/skeleton.py do in Python.
const textRules = { pattern: null, symbols: {}, names: {}, fold: Infinity };

function useTextRules(rules) {
  const point = (code) => "\\u{" + code.toString(16) + "}";
  const ranges = rules.ranges.map(([low, high]) => point(low) + "-" + point(high)).join("");
  Object.assign(textRules, rules, { pattern: new RegExp("[" + ranges + "]", "gu") });
}

function codeName(code) {
  return "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

// Invisible characters as symbols, for attributes and plain words.
function visible(text) {
  return text.replace(textRules.pattern, (character) => {
    const code = character.codePointAt(0);
    return textRules.symbols[code] ?? "⟨" + codeName(code) + "⟩";
  });
}

// The same for body text: each symbol in a box that tells its name.
function shown(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(textRules.pattern)) {
    const code = match[0].codePointAt(0);
    const name = code >= 0xd800 && code <= 0xdfff ? "surrogate" : textRules.names[code] ?? "control character";
    nodes.push(text.slice(from, match.index));
    nodes.push(fill("symbol", { name: codeName(code) + " " + name, symbol: textRules.symbols[code] ?? codeName(code) }));
    from = match.index + match[0].length;
  }
  nodes.push(text.slice(from));
  return nodes;
}

// A text of at most `textRules.fold` characters, the middle left out, with marks over it. `layers` are lists of
// [start, end, make], in order and none over another within a layer; `make(nodes)` wraps a passage. Inner layers first.
function folded(text, layers = []) {
  const limit = textRules.fold;
  if (text.length <= limit) return layered(text, 0, text.length, layers);
  const points = Array.from(text); // as Python counts them
  if (points.length <= limit) return layered(text, 0, text.length, layers);
  const tail = Math.floor(limit / 3);
  const head = points.slice(0, limit - tail).join("").length;
  const rest = text.length - points.slice(points.length - tail).join("").length;
  const left = (points.length - limit).toLocaleString("en-US");
  const note = fill("fold", { words: "… " + left + " characters left out here: records.jsonl has them all …" });
  return [...layered(text, 0, head, layers), note, ...layered(text, rest, text.length, layers)];
}

function layered(text, from, to, layers) {
  const within = layers.map((layer) => layer.filter(([start, end]) => start >= from && end <= to));
  const cuts = new Set([from, to]);
  for (const layer of within) for (const [start, end] of layer) cuts.add(start).add(end);
  const edges = Array.from(cuts).sort((a, b) => a - b);
  const places = within.map(() => 0);
  const nodes = [];
  for (let at = 0; at + 1 < edges.length; at++) {
    let passage = shown(text.slice(edges[at], edges[at + 1]));
    within.forEach((layer, which) => {
      while (places[which] < layer.length && layer[places[which]][1] <= edges[at]) places[which]++;
      const mark = layer[places[which]];
      if (mark && mark[0] <= edges[at]) passage = [mark[2](passage)];
    });
    nodes.push(...passage);
  }
  return nodes;
}

// A template of cards.html, filled. A slot takes a string, which is made visible, a node, or a list of both.
const skeletons = new Map();
function fill(template, slots) {
  if (!skeletons.has(template)) skeletons.set(template, skeletonOf(template));
  const { content, attributes } = skeletons.get(template);
  const copy = content.cloneNode(true);
  if (attributes.length) {
    const elements = copy.querySelectorAll("*");
    for (const [place, name, value] of attributes) {
      elements[place].setAttribute(name, value.replace(/\{(\w+)\}/g, (_, slot) => visible(slots[slot])));
    }
  }
  for (const element of copy.querySelectorAll("[data-slot]")) {
    const value = slots[element.dataset.slot];
    element.removeAttribute("data-slot");
    if (typeof value === "string") element.append(visible(value));
    else if (Array.isArray(value)) element.append(...value);
    else element.append(value);
  }
  return copy;
}

function skeletonOf(template) {
  const { content } = document.getElementById(template);
  const attributes = [];
  content.querySelectorAll("*").forEach((element, place) => {
    for (const { name, value } of element.attributes) if (value.includes("{")) attributes.push([place, name, value]);
  });
  return { content, attributes };
}

// Numbers as harness/report/present.py writes them.
const NONE = "–";
function count(value) {
  return value === null ? NONE : String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}
function plain(value) { // Python's ".4g", but whole numbers in full
  if (value === null) return NONE;
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const [digits, exponent] = value.toExponential(3).split("e").map(Number);
  if (value !== 0 && (exponent < -4 || exponent >= 4)) {
    return digits + "e" + (exponent < 0 ? "-" : "+") + String(Math.abs(exponent)).padStart(2, "0");
  }
  return String(Number(value.toPrecision(4)));
}
