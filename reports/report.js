// The script of every page: tabs, charts, questions, groups. What a model wrote enters the page as text nodes alone.
"use strict";
const QUESTION_KEYS = ["flip", "q", "before", "after", "before-finish", "after-finish", "graders", "min", "max", "sort", "raw"];
const GROUP_KEYS = ["step", "over", "signal"];
const NONE = "–", MINUS = "−";
const rules = JSON.parse(document.getElementById("rules")?.textContent ?? "null");

/* Elements and texts */

// An element; `name` is its tag and classes, as in "p.soft.small". Children are strings, nodes, or lists of both.
function el(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null) element.setAttribute(key, visible(String(value)));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== "").map((child) => (typeof child === "string" ? visible(child) : child)));
  return element;
}

const invisible = rules && new RegExp("[" + rules.ranges.map(([low, high]) => `\\u{${low.toString(16)}}-\\u{${high.toString(16)}}`).join("") + "]", "gu");
const codeName = (code) => "U+" + code.toString(16).toUpperCase().padStart(4, "0");

// Invisible characters as symbols, for attributes and plain words.
function visible(text) {
  return rules ? text.replace(invisible, (one) => rules.symbols[one.codePointAt(0)] ?? "⟨" + codeName(one.codePointAt(0)) + "⟩") : text;
}

// The same for body text: each symbol in a box that tells its name.
function shown(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(invisible)) {
    const code = match[0].codePointAt(0);
    const name = code >= 0xd800 && code <= 0xdfff ? "surrogate" : rules.names[code] ?? "control character";
    nodes.push(text.slice(from, match.index), el("span.ctl", { title: codeName(code) + " " + name }, rules.symbols[code] ?? codeName(code)));
    from = match.index + match[0].length;
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== "");
}

// A text of at most `rules.fold` characters, the middle left out, with marks over it. `layers` are lists of
// [start, end, make], in order and none over another within a layer; `make(nodes)` wraps a passage.
function folded(text, layers = [], where = "records.jsonl") {
  if (text.length <= rules.fold) return layered(text, 0, text.length, layers);
  const points = Array.from(text); // as Python counts them
  if (points.length <= rules.fold) return layered(text, 0, text.length, layers);
  const tail = Math.floor(rules.fold / 3);
  const head = points.slice(0, rules.fold - tail).join("").length;
  const rest = text.length - points.slice(points.length - tail).join("").length;
  return [...layered(text, 0, head, layers), leftOut(points.length - rules.fold, where), ...layered(text, rest, text.length, layers)];
}
const leftOut = (characters, where) => el("span.fold", {}, `… ${count(characters)} characters left out here: ${where} has them all …`);

function layered(text, from, to, layers) {
  const within = layers.map((layer) => layer.filter(([start, end]) => start >= from && end <= to));
  const cuts = new Set([from, to]);
  for (const [start, end] of within.flat()) cuts.add(start).add(end);
  const edges = [...cuts].sort((a, b) => a - b), places = within.map(() => 0), nodes = [];
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

// Numbers as harness/report/present.py writes them.
const count = (value) => (value === null ? NONE : String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ","));
function plain(value) { // Python's ".4g", but whole numbers in full
  if (value === null) return NONE;
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const [digits, exponent] = value.toExponential(3).split("e").map(Number);
  if (value !== 0 && (exponent < -4 || exponent >= 4)) return digits + "e" + (exponent < 0 ? "-" : "+") + String(Math.abs(exponent)).padStart(2, "0");
  return String(Number(value.toPrecision(4)));
}
const signed = (value) => (value === null ? NONE : (value < 0 ? MINUS : "+") + Math.abs(value).toFixed(2));
const percent = (share) => (100 * share).toFixed(1).replace(/\.0$/, "") + " %";
const known = (values) => values.filter((value) => value !== null);
const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
const cell = (column, row) => (Array.isArray(column) ? column[row] : column.every);
const breath = () => new Promise((resolve) => { setTimeout(resolve); }); // what was clicked or typed is handled first

/* Packed data: gzipped JSON in base 64 (harness/report/pack.py), the last blocks used kept */

const KEPT = 40, unpacked = new Map();
function unpack(id) {
  const found = unpacked.get(id) ?? read(id);
  unpacked.delete(id);
  unpacked.set(id, found);
  if (unpacked.size > KEPT) unpacked.delete(unpacked.keys().next().value);
  return found;
}
async function read(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id + "-data").textContent), (letter) => letter.charCodeAt(0));
  return JSON.parse(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text());
}

/* The address: a tab, a question, and key=value pairs of either tab */

function readAddress() {
  const state = { at: "" };
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
    if (value) state[key] = value;
    else if (/^q\d+$/.test(key)) state.open = key.slice(1);
    else state.at = key;
  }
  const has = (keys) => keys.some((key) => state[key] !== undefined);
  const part = document.getElementById(state.at)?.closest(".panel")?.id;
  state.tab = part ?? (state.open || has(QUESTION_KEYS) ? "questions" : has(GROUP_KEYS) ? "groups" : "overview");
  if (!document.getElementById(state.tab)) state.tab = "overview";
  return state;
}

function writeAddress(tab, keys, state, push) {
  const pairs = new URLSearchParams(keys.filter((key) => state[key]).map((key) => [key, state[key]])).toString();
  const hash = "#" + ([state.open && "q" + state.open, pairs].filter(Boolean).join("&") || tab);
  if (hash !== location.hash) history[push ? "pushState" : "replaceState"](null, "", hash);
}

function startTabs() {
  const links = document.querySelectorAll(".tabs a");
  const tops = {}; // where each tab was left
  let on = "";
  const follow = () => {
    const { tab, at } = readAddress();
    if (tab !== on) {
      tops[on] = scrollY;
      for (const panel of document.querySelectorAll(".panel")) panel.classList.toggle("on", panel.id === tab);
      for (const link of links) {
        if (link.dataset.tab === tab) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      links.forEach((link) => link.dataset.tab === tab && link.scrollIntoView?.({ block: "nearest", inline: "nearest" }));
      on = tab;
      scrollTo(0, tops[tab] ?? 0);
    }
    if (at && at !== tab) document.getElementById(at)?.scrollIntoView({ block: "center" });
  };
  addEventListener("hashchange", follow);
  addEventListener("popstate", follow);
  follow();
}

/* Charts: the values under the pointer, or at the step that the arrow keys go to */

function startChart(canvas) {
  const figure = canvas.closest("figure"), svg = canvas.querySelector("svg"), { lines, share } = JSON.parse(figure.dataset.chart);
  const steps = [...new Set(lines.flatMap(([, xs]) => xs))].sort((a, b) => a - b);
  if (!steps.length) return;
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const spare = (steps.at(-1) - steps[0]) * 0.02 || 0.5, left = 44, right = width - 10;
  const across = (step) => left + ((step - steps[0] + spare) / (steps.at(-1) - steps[0] + 2 * spare)) * (right - left);
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const readout = el("div.readout", { hidden: true });
  cursor.setAttribute("class", "cursor");
  canvas.append(readout);
  svg.tabIndex = 0;
  svg.removeAttribute("aria-hidden");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", figure.querySelector("figcaption b").textContent + " by step; arrow keys tell the values");
  readout.setAttribute("aria-live", "polite");
  let at = -1;
  const show = (place) => {
    at = Math.max(0, Math.min(steps.length - 1, place));
    const step = steps[at], x = across(step);
    cursor.setAttribute("d", `M${x},10V${height - 22}`);
    svg.append(cursor);
    readout.classList.toggle("left", x > width / 2);
    readout.hidden = false;
    const told = lines.map(([name, xs, ys]) => [name, ys[xs.indexOf(step)]]).filter(([, value]) => value !== undefined);
    readout.replaceChildren(el("p.soft", {}, "step " + count(step)), ...told.map(([name, value]) => el("p", {}, el("span", {}, name), el("b", {}, share ? percent(value) : plain(value)))));
  };
  const hide = () => { readout.hidden = true; cursor.remove(); };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * width;
    let nearest = 0;
    steps.forEach((step, place) => { if (Math.abs(across(step) - x) < Math.abs(across(steps[nearest]) - x)) nearest = place; });
    show(nearest);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); show(at < 0 ? (by > 0 ? 0 : steps.length - 1) : at + by); }
  });
}

/* Questions: what the index of columns says of them */

class Answers {
  constructor(index) {
    this.index = index;
    this.length = index.number.length;
    this.sides = Object.keys(index.sides);
    this.last = this.sides.at(-1);
    this.starts = {};
    for (const side of this.sides) {
      const starts = (this.starts[side] = new Int32Array(this.length + 1));
      index.sides[side].count.forEach((count, place) => { starts[place + 1] = starts[place] + count; });
    }
    this.places = new Map(index.number.map((number, place) => [String(number), place]));
    this.fell = new Set(index.fell);
  }
  // What the baseline made of a question; null where it was not asked.
  baseline(place) {
    const share = cell(this.index.baseline, place);
    if (share === null) return null;
    return el(this.fell.has(place) ? "span.bad" : "span", {}, "baseline " + (share === 1 ? "right" : share ? percent(share) + " right" : "wrong"));
  }
  rows(side, place) {
    const first = this.starts[side][place];
    return Array.from({ length: this.starts[side][place + 1] - first }, (_, at) => first + at);
  }
  mean(name, place) {
    const column = this.index.sides[this.last][name];
    return mean(known(this.rows(this.last, place).map((row) => cell(column, row))));
  }
  status(side, row) {
    return this.index.statuses[this.index.sides[side].status[row]];
  }
  finish(side, row) {
    return this.index.finishes[cell(this.index.sides[side].finish, row)];
  }
  // One question on one side: its mark, or how many of several answers are right, and what was said most often.
  told(side, place) {
    const rows = this.rows(side, place), extracted = this.index.sides[side].extracted;
    if (!rows.length) return { mark: NONE, kind: "open", words: "not asked", said: "" };
    const said = new Map();
    for (const row of rows) if (extracted[row]) said.set(extracted[row], (said.get(extracted[row]) ?? 0) + 1);
    const most = [...said].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
    if (rows.length === 1) {
      const [status, words, mark, kind] = this.status(side, rows[0]);
      const cut = this.finish(side, rows[0])[0] === "length";
      return { mark, kind, words, said: most, instead: status === "no_answer" ? (cut ? "cut off" : words) : NONE };
    }
    const statuses = rows.map((row) => this.status(side, row)[0]);
    const right = statuses.filter((status) => status === "correct").length, scored = statuses.filter((status) => status !== "unscored").length;
    return { mark: right + "/" + rows.length, kind: !scored ? "open" : right / scored > 0.5 ? "good" : "bad", words: `${right} of ${rows.length} correct`, said: most };
  }
  disagree(side, row) {
    const verdicts = Object.values(this.index.sides[side].grades).map(({ correct }) => correct[row]);
    return verdicts.includes(1) && verdicts.includes(0);
  }
  extractedBy(side, grader, row) {
    const columns = this.index.sides[side], extracted = cell(columns.grades[grader].extracted, row);
    return extracted === 0 ? columns.extracted[row] : extracted;
  }
  turns(prompt) {
    return prompt.map((turn) => (typeof turn === "number" ? this.index.turns[turn] : turn));
  }
  async text(place) {
    const { size } = this.index;
    return (await unpack("questions-" + Math.floor(place / size)))[place % size];
  }
}

// A test of places by what the state asks for, the search left out.
function filterOf(answers, state) {
  const { index } = answers, tests = [];
  if (state.flip === "baseline") tests.push((place) => answers.fell.has(place));
  else if (state.flip) tests.push((place) => index.flips[index.flip[place]][0] === state.flip);
  for (const side of answers.sides) {
    if (state[side]) tests.push((place) => answers.rows(side, place).some((row) => answers.status(side, row)[0] === state[side]));
    if (state[side + "-finish"]) tests.push((place) => answers.rows(side, place).some((row) => answers.finish(side, row)[0] === state[side + "-finish"]));
  }
  if (state.graders === "disagree") tests.push((place) => answers.sides.some((side) => answers.rows(side, place).some((row) => answers.disagree(side, row))));
  for (const [key, fits] of [["min", (reward, end) => reward >= end], ["max", (reward, end) => reward <= end]]) {
    const end = Number(state[key]);
    if (state[key] && !Number.isNaN(end)) tests.push((place) => { const reward = answers.mean("reward", place); return reward !== null && fits(reward, end); });
  }
  return (place) => tests.every((test) => test(place));
}

function sorted(answers, places, sort) {
  const by = (sort ?? "").replace(/^-/, ""), down = sort?.startsWith("-");
  const { index } = answers;
  const keys = {
    question: (place) => index.number[place], truth: (place) => orderly(index.truth[place]),
    extracted: (place) => orderly(answers.told(answers.last, place).said),
    reward: (place) => answers.mean("reward", place), tokens: (place) => answers.mean("completion_tokens", place),
  };
  if (!Object.hasOwn(keys, by)) return places; // the address may say anything
  const keyed = places.map((place) => [keys[by](place), place]);
  keyed.sort(([a, first], [b, second]) => {
    if (a === null || b === null) return (a === null) - (b === null) || first - second; // what is not there comes last
    const order = typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
    return (down ? -order : order) || first - second;
  });
  return keyed.map(([, place]) => place);
}

// Numbers as numbers, other answers as words after them.
function orderly(text) {
  if (!text) return null;
  const digits = text.replace(/[,\s$]/g, "");
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(digits) ? Number(digits) : text.toLowerCase();
}

// The words of a search: all must be there; "in quotes" they stand together.
function needles(search) {
  return (search.toLowerCase().match(/"[^"]+"|\S+/g) ?? []).map((word) => (/^".+"$/.test(word) ? word.slice(1, -1) : word));
}
// Whether a word is an id or begins one; a stretch from its middle says nothing to a reader.
const beginsId = (id, word) => id.startsWith(word) || (word.length > 5 && id.slice(id.lastIndexOf("/") + 1).startsWith(word));

/* Questions: the card */

function questionCard(answers, place, [text, truth, prompt, before, after], state, act) {
  const { index } = answers, turns = answers.turns(prompt), raw = state.raw === "1";
  const said = { before, after };
  const samples = Math.max(...answers.sides.map((side) => said[side].length), 1);
  const [flip, flipWords] = index.flips[index.flip[place]];
  const asked = text ?? turns.at(-1)?.[1] ?? "";
  const canRender = [asked, ...answers.sides.flatMap((side) => said[side].map(completionOf))].some(isMarkedUp);
  const pair = (at) => el("div.pair", {}, besides(answers, place, said, at, raw, prompt));
  const marks = (at) => answers.sides.map((side) => {
    const row = answers.rows(side, place)[at];
    if (row === undefined) return null;
    const [, words, mark, kind] = answers.status(side, row);
    return el("span." + kind, {}, ` ${mark} ${words}`);
  });
  return [
    el("div.bar", {},
      el("button.back", { type: "button", onclick: act.close }, "‹ list"),
      el("b", {}, "Question " + index.number[place]), el("span.flip." + flip, {}, flipWords), answers.baseline(place), el("span.soft.small.mono", {}, index.id[place]),
      el("span.spacer"),
      canRender ? el("button", { type: "button", "aria-pressed": String(raw), title: "raw text (r)", onclick: act.raw }, "raw") : null,
      el("button", { type: "button", title: "previous (k)", "aria-label": "previous question", onclick: () => act.step(-1) }, "↑"),
      el("button", { type: "button", title: "next (j)", "aria-label": "next question", onclick: () => act.step(1) }, "↓")),
    turns.length > 1 ? earlier(turns.slice(0, -1), earlierWords(turns.slice(0, -1))) : null,
    el("div.turn.asked", {}, textOf(asked, raw)),
    el("p.truth-line", {}, el("span.soft", {}, "ground truth "), el("b.mono.truth", {}, folded(truth))),
    samples === 1 ? pair(0) : Array.from({ length: samples }, (_, at) =>
      el("details.sample", { open: at === 0 }, el("summary", {}, `answer ${at + 1} of ${samples}`, marks(at)), pair(at))),
  ];
}

const completionOf = (entry) => (Array.isArray(entry) ? entry[0] : entry);
function earlierWords(turns) {
  if (turns.length === 1 && turns[0][0] === "system") return "system prompt";
  return (turns.length === 1 ? "1 earlier turn" : turns.length + " earlier turns") + " of the prompt";
}
const earlier = (turns, summary) => el("details.earlier", {}, el("summary", {}, summary), turns.map(([role, content]) => el("div.turn", {}, el("span.role", {}, role), el("div.text", {}, folded(content)))));

// The answers at one place beside each other; what is only in one of them is underlined, where both are raw.
function besides(answers, place, said, at, raw, prompt) {
  const entries = answers.sides.map((side) => said[side][at]);
  const texts = entries.map((entry) => (entry === undefined ? null : completionOf(entry)));
  const plainly = texts.every((text) => text === null || raw || !isMarkedUp(text));
  const apart = plainly && texts.length === 2 && texts.every((text) => text) ? differences(...texts) : null;
  return answers.sides.map((side, which) => {
    const name = answers.index.names[side];
    if (entries[which] === undefined) return el("section.answer.soft", {}, name + ": not asked");
    const only = apart ? apart[which].map(([start, end]) => [start, end, (nodes) => el("span.only", {}, nodes)]) : [];
    return answerCard(answers, side, answers.rows(side, place)[at], name, entries[which], only, raw);
  });
}

function answerCard(answers, side, row, name, entry, only, raw) {
  const { index } = answers, columns = index.sides[side], completion = completionOf(entry);
  const [status, words, mark, kind] = answers.status(side, row), [finish, finishWords] = answers.finish(side, row);
  const extracted = columns.extracted[row], error = cell(columns.error, row);
  const terms = Object.keys(columns.rewards).map((f) => [f, cell(columns.rewards[f], row)]).filter(([, value]) => value !== false);
  const term = ([f, value]) => `${f} ${plain(value)}` + (index.weights[f] === undefined ? "" : ` × ${index.weights[f]}`);
  const graders = Object.entries(columns.grades).filter(([, { correct }]) => correct[row] !== 3).map(([grader, { correct }]) => {
    const taken = answers.extractedBy(side, grader, row);
    const [how, told] = correct[row] === 1 ? ["good", "✓ correct"] : correct[row] === 2 ? ["open", "? not scored"] : taken === null ? ["bad", "∅ no answer"] : ["bad", "✗ wrong"];
    return el("div", {}, el("span.soft", { title: index.rules[grader] ?? grader }, index.graders[grader] ?? grader), " ", el("b." + how, {}, told), " ", taken === null ? "" : el("span.mono", {}, shown(taken)));
  });
  const line = (head, ...told) => el("div", {}, el("dt", {}, head), el("dd", {}, ...told));
  return el("section.answer", {},
    el("header", {}, el("span.soft", {}, name), el("b." + kind, {}, mark + " " + (status === "no_answer" && !completion.includes(index.form.token) ? index.form.missing : words)), extracted === null ? null : el("b.mono", {}, shown(extracted)), finish === "length" ? el("span.warn", {}, finishWords) : null),
    Array.isArray(entry) ? earlier(answers.turns(entry[1]), "asked with another prompt") : null,
    completion ? textOf(completion, raw, [only, spots(answers, side, row, completion)], true) : el("p.soft", {}, error ? shown(error) : "(empty)"),
    el("dl.pairs", {},
      extracted === null ? line("extracted", el("span.soft", {}, whyNothing(index.form, completion))) : null,
      line("reward", el("b", {}, plain(columns.reward[row])), terms.length ? el("span.soft", {}, " = " + terms.map(term).join(" + ")) : ""),
      graders.length ? line("graders", graders) : null,
      line("finish", finish === "length" ? el("b", {}, finishWords) : finishWords),
      line("tokens", count(columns.completion_tokens[row]), el("span.soft", {}, ` after a prompt of ${count(cell(columns.prompt_tokens, row))}`))));
}

function whyNothing({ token, absent, empty }, completion) {
  const thought = completion.lastIndexOf("</think>");
  let said = thought < 0 ? completion : completion.slice(thought + 8);
  if (said.includes("<think>") && !said.slice(0, said.indexOf("<think>")).includes(token)) return "the thought is not finished, so there is no answer behind it to grade";
  if (said.includes("<think>")) said = said.slice(0, said.indexOf("<think>"));
  if (thought >= 0 && completion.slice(0, thought).includes(token) && !said.includes(token)) return "what it says in its thought is no answer, and behind it there is none to grade";
  return said.includes(token) ? empty : absent;
}

// Where extracted answers stand in their completion: the strict grader of boxes reads the first, all others the last.
function spots(answers, side, row, completion) {
  const { index } = answers, found = [];
  const wanted = [["", answers.index.sides[side].extracted[row]], ...Object.keys(index.sides[side].grades).map((grader) => [grader, answers.extractedBy(side, grader, row)])];
  const others = wanted.filter(([grader]) => grader && grader !== "boxed_exact").map(([, extracted]) => extracted);
  for (const [grader, extracted] of wanted) {
    const first = grader === "boxed_exact" || (!grader && wanted.length > 1 && !others.includes(extracted));
    const [start, end] = spotOf(completion, extracted, first) ?? [];
    if (start === undefined || found.some(([from, to]) => start < to && from < end)) continue;
    const title = "extracted" + (grader ? " by the " + (index.graders[grader] ?? grader) : "");
    found.push([start, end, (nodes) => el("mark.spot", { title }, nodes)]);
  }
  return found.sort(([a], [b]) => a - b);
}

function spotOf(completion, extracted, first) {
  const wanted = extracted?.trim();
  if (!wanted || wanted.length > 2000) return null;
  const boxes = [...completion.matchAll(/\\boxed\s*\{\s*/g)].map((match) => match.index + match[0].length)
    .filter((start) => completion.startsWith(wanted, start) && /^\s*\}/.test(completion.slice(start + wanted.length, start + wanted.length + 50)));
  const thought = completion.lastIndexOf("</think>"), behind = boxes.filter((start) => start > thought);
  const start = (behind.length ? behind : boxes).at(first ? 0 : -1);
  if (start !== undefined) return [start, start + wanted.length];
  for (let at = completion.lastIndexOf(wanted), tries = 0; at >= 0 && tries < 1000; at = at ? completion.lastIndexOf(wanted, at - 1) : -1, tries++) {
    const left = completion.slice(Math.max(0, at - 2), at), right = completion.slice(at + wanted.length, at + wanted.length + 2);
    const inWord = /[\p{L}\p{N}_]$/u.test(left) && /^[\p{L}\p{N}]/u.test(wanted) || /^[\p{L}\p{N}_]/u.test(right) && /[\p{L}\p{N}]$/u.test(wanted);
    if (!inWord && !(/\d[.,]$/.test(left) && /^\d/.test(wanted)) && !(/^[.,]\d/.test(right) && /\d$/.test(wanted))) return [at, at + wanted.length];
  }
  return null;
}

/* Markdown and LaTeX: marked's tokens and Temml's MathML, copied piece by piece; nothing is taken as HTML */

const RICH_AT = 8000; // a longer text is shown as it stands
const MARKED_UP = /\$[^$\n]+\$|\\[([]|\\begin\{|\\d?frac|\\text|\\times|\\cdot|^\s{0,3}(?:#{1,6} |```|[-*+] |\d+\. |\|)|\*\*\S|`\S/m;
const isMarkedUp = (text) => typeof marked !== "undefined" && text.length <= RICH_AT && MARKED_UP.test(text);

function textOf(text, raw, layers = [], scrolls = false) {
  const rich = !raw && isMarkedUp(text) ? richly(text) : null;
  const box = el("div.text", scrolls && text.length > 600 ? { tabindex: 0 } : {}, rich ?? folded(text, layers));
  if (rich) box.classList.add("rich");
  return box;
}

const MATH = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\]|\\\(([\s\S]+?)\\\)|\$(?![\s$])((?:\\[^\n]|[^$\n\\])+?)\$(?!\d))/;
let lexer = null;
function lexed(text) {
  const math = (level) => ({
    name: "math_" + level, level,
    start: (source) => { const at = source.search(level === "block" ? /^\s{0,3}(?:\$\$|\\\[)/m : /\$|\\[([]|\\boxed/); return at < 0 ? undefined : at; },
    tokenizer(source) {
      const match = MATH.exec(source);
      const display = match && (match[1] ?? match[2]) !== undefined;
      if (match && (level === "inline" || display)) return { type: "math", raw: match[0], text: match.slice(1).find((part) => part !== undefined), display };
      const end = level === "inline" && source.startsWith("\\boxed") ? boxEnd(source) : 0;
      return end ? { type: "math", raw: source.slice(0, end), text: source.slice(0, end), display: false } : undefined;
    },
  });
  lexer ??= new marked.Marked({ breaks: true, extensions: [math("block"), math("inline")] });
  return lexer.lexer(text);
}

function boxEnd(source) {
  const open = /^\\boxed\s*\{/.exec(source);
  for (let at = open ? open[0].length : source.length, depth = 1; at < source.length; at++) {
    if (source[at] === "\\") at++;
    else if (source[at] === "{") depth++;
    else if (source[at] === "}" && !--depth) return at + 1;
  }
  return 0;
}

function richly(text) {
  try {
    return lexed(text).map(richToken);
  } catch {
    return null; // too deep, or beyond the library: the text as it stands
  }
}

function richToken(token) {
  const inner = () => (token.tokens ? token.tokens.map(richToken) : shown(token.text ?? token.raw));
  switch (token.type) {
    case "space": return "";
    case "paragraph": return el("p", {}, inner());
    case "heading": return el("p.heading", {}, inner());
    case "strong": return el("b", {}, inner());
    case "em": return el("em", {}, inner());
    case "del": return el("s", {}, inner());
    case "br": return el("br");
    case "hr": return el("hr");
    case "blockquote": return el("blockquote", {}, inner());
    case "codespan": return el("code", {}, shown(token.text));
    case "code": return el("pre", { tabindex: 0 }, el("code", {}, shown(token.text)));
    case "list": return el(token.ordered ? "ol" : "ul", token.ordered && token.start !== 1 ? { start: token.start } : {}, token.items.map((item) => el("li", {}, item.tokens.map(richToken))));
    case "table": return el("table", {}, [token.header, ...token.rows].map((cells, at) => el("tr", {}, cells.map((each) => el(at ? "td" : "th", {}, each.tokens.map(richToken))))));
    case "math": return mathOf(token);
    case "text": return inner();
    case "escape": return shown(token.text);
    default: return shown(token.raw); // links, pictures and HTML as they were written
  }
}

const MATHML = new Set("math mrow mi mn mo ms mtext mspace msup msub msubsup mfrac msqrt mroot mover munder munderover mtable mtr mtd mpadded mphantom menclose mstyle mprescripts mmultiscripts none".split(" "));
const MATH_ATTRIBUTES = new Set("display mathvariant stretchy fence form lspace rspace width height depth accent accentunder columnalign linethickness displaystyle scriptlevel minsize maxsize symmetric largeop movablelimits separator notation columnspan".split(" "));
const MATH_NS = "http://www.w3.org/1998/Math/MathML";

function mathOf({ text, raw, display }) {
  try {
    const tree = temml.__renderToMathMLTree(text, { throwOnError: true, displayMode: display, maxExpand: 200, maxSize: [20, 20] });
    const math = mathCopy(tree)[0];
    return display ? el("span.display", { tabindex: 0 }, math) : math;
  } catch {
    return el("span.mono", {}, shown(raw)); // no LaTeX, or none that the library knows
  }
}

function mathCopy(node) {
  if (typeof node.text === "string") return shown(node.text);
  const children = (node.children ?? []).flatMap(mathCopy);
  if (!MATHML.has(node.type)) return children;
  const copy = document.createElementNS(MATH_NS, node.type);
  for (const [key, value] of Object.entries(node.attributes ?? {})) if (MATH_ATTRIBUTES.has(key)) copy.setAttribute(key, value);
  if (node.style?.border) copy.setAttribute("class", "boxed");
  copy.append(...children);
  return [copy];
}

/* Words that only one of two texts has: Myers 1986, "An O(ND) difference algorithm and its variations" */

const DIFF_WORDS = 6000, DIFF_STEPS = 1500, DIFF_ALIKE = 0.25;

// Two lists of [start, end] in the texts; null where they are the same, too long, or so unlike that marks say nothing.
function differences(first, second) {
  if (first === second || Math.max(first.length, second.length) > rules.fold) return null;
  const a = Array.from(first.matchAll(/[\p{L}\p{N}_]+|[^\s]/gu)), b = Array.from(second.matchAll(/[\p{L}\p{N}_]+|[^\s]/gu));
  if (a.length + b.length > DIFF_WORDS) return null;
  const kept = common(a.map(String), b.map(String));
  if (!kept || kept.length < DIFF_ALIKE * Math.max(a.length, b.length)) return null;
  return [gaps(a, kept.map(([place]) => place)), gaps(b, kept.map(([, place]) => place))];
}

// Pairs of places of a longest common subsequence; null beyond DIFF_STEPS differences.
function common(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let trim = 0;
  while (trim < a.length - start && trim < b.length - start && a[a.length - 1 - trim] === b[b.length - 1 - trim]) trim++;
  const n = a.length - start - trim, m = b.length - start - trim;
  const most = Math.min(n + m, DIFF_STEPS), offset = most + 1;
  const reach = new Int32Array(2 * most + 3), trail = [];
  let steps = -1;
  search: for (let d = 0; d <= most; d++) {
    trail.push(reach.slice(offset - d - 1, offset + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reach[offset + k - 1] < reach[offset + k + 1]);
      let x = down ? reach[offset + k + 1] : reach[offset + k - 1] + 1, y = x - k;
      while (x < n && y < m && a[start + x] === b[start + y]) { x++; y++; }
      reach[offset + k] = x;
      if (x >= n && y >= m) { steps = d; break search; }
    }
  }
  if (steps < 0) return null;
  const middle = [];
  let x = n, y = m;
  for (let d = steps; d >= 0; d--) {
    const before = trail[d], at = (k) => before[k + d + 1], k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const from = d === 0 ? 0 : down ? at(k + 1) : at(k - 1), fromY = d === 0 ? 0 : from - (down ? k + 1 : k - 1);
    while (x > from + (d && !down ? 1 : 0) && y > fromY + (d && down ? 1 : 0)) middle.push([start + --x, start + --y]);
    x = from; y = fromY;
  }
  const pairs = [];
  for (let place = 0; place < start; place++) pairs.push([place, place]);
  pairs.push(...middle.reverse());
  for (let left = trim; left > 0; left--) pairs.push([a.length - left, b.length - left]);
  return pairs;
}

// Stretches of words that were not kept, from the first letter to the last.
function gaps(words, kept) {
  const spans = [];
  let at = 0;
  for (const place of [...kept, words.length]) {
    if (at < place) {
      const last = words[place - 1];
      spans.push([words[at].index, last.index + last[0].length]);
    }
    at = place + 1;
  }
  return spans;
}

/* Questions: the list, the search and the ways between them */

const ROWS = 100, TYPING = 150;

class Questions {
  constructor(box, index) {
    Object.assign(this, { box, answers: new Answers(index), form: box.querySelector("form"), list: box.querySelector("ol"), card: box.querySelector(".card"), status: box.querySelector(".status") });
    this.state = {};
    this.narrow = matchMedia("(max-width: 62rem)"); // the card stands in place of the list
    this.places = []; // those that fit, in order
    this.drawn = 0; // how many of them have a row
    this.asked = 0; // which search is the latest
    const { form, list } = this;
    const changed = (event) => this.go({ ...this.state, [event.target.name]: event.target.value.trim(), open: "" }, event.type === "change");
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", (event) => event.target.type !== "search" && changed(event));
    form.addEventListener("input", (event) => {
      clearTimeout(this.typing);
      if (event.target.type === "search") this.typing = setTimeout(() => changed(event), TYPING);
    });
    box.querySelector(".clear").addEventListener("click", () => { this.go({ sort: this.state.sort, raw: this.state.raw }); form.q.focus(); });
    box.querySelector(".csv").addEventListener("click", () => this.export());
    list.addEventListener("click", (event) => {
      const row = event.target.closest("li");
      if (row && !String(getSelection())) this.open(row.dataset.number);
    });
    this.more = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.draw());
    addEventListener("hashchange", () => this.follow());
    addEventListener("popstate", () => this.follow());
    addEventListener("keydown", (event) => this.key(event));
  }

  get shown() {
    return document.getElementById("questions").classList.contains("on");
  }

  follow() {
    const { tab, at, ...state } = readAddress();
    if (tab === "questions" && !(at === "questions" && this.started)) return this.show(state);
    if (!this.started) return this.show({});
    return this.card.hasChildNodes() || this.drawCard();
  }

  go(state, push = false) {
    clearTimeout(this.typing);
    writeAddress("questions", QUESTION_KEYS, state, push);
    return this.show(state);
  }

  async show(state) {
    const key = (of) => JSON.stringify([...QUESTION_KEYS].filter((each) => each !== "raw").map((each) => of[each] ?? ""));
    const same = this.started && key(state) === key(this.state);
    this.started = true;
    this.state = state;
    for (const field of this.form.elements) {
      if (!field.name || (field === document.activeElement && field.type === "search")) continue;
      const value = state[field.name] ?? "";
      if (field.type === "radio") field.checked = field.value === value;
      else if (field.value !== value) field.value = value;
    }
    if (!same) await this.find();
    await this.drawCard();
  }

  // The questions that fit, in order; a search shows what it has found so far.
  async find() {
    const ticket = ++this.asked, { state, answers } = this;
    const fits = filterOf(answers, state), all = Array.from({ length: answers.length }, (_, place) => place).filter(fits);
    if (!state.q) return this.take(sorted(answers, all, state.sort));
    const words = needles(state.q), hits = [];
    let last = performance.now(), shown = -1;
    for (const [done, place] of all.entries()) {
      const [text, truth, prompt, before, after] = await answers.text(place);
      const hay = [text ?? answers.turns(prompt).at(-1)[1], truth, ...before.map(completionOf), ...after.map(completionOf)].join("\n").toLowerCase();
      if (words.every((word) => hay.includes(word) || beginsId(answers.index.id[place].toLowerCase(), word))) hits.push(place);
      if (performance.now() - last < 40) continue;
      await breath();
      if (ticket !== this.asked) return;
      if (hits.length !== shown && shown < ROWS) this.take([...hits]);
      this.tell(hits.length, done / all.length);
      [last, shown] = [performance.now(), hits.length];
    }
    if (ticket === this.asked) this.take(sorted(answers, hits, state.sort));
  }

  take(places) {
    this.places = places;
    this.drawn = 0;
    this.list.replaceChildren();
    this.list.parentElement.scrollTop = 0;
    this.draw();
    this.tell(places.length, null);
    this.box.querySelector(".nothing").hidden = places.length > 0;
  }

  tell(found, share) {
    const all = this.answers.length, narrowed = QUESTION_KEYS.some((key) => this.state[key] && !["sort", "raw"].includes(key));
    const words = (share === null ? "" : `searching, ${Math.floor(100 * share)} % · `) + (narrowed ? `${count(found)} of ${count(all)} questions` : "");
    if (this.status.textContent !== words) this.status.textContent = words;
    this.box.querySelector(".clear").hidden = !narrowed;
    this.box.ariaBusy = String(share !== null);
  }

  // The next hundred rows, or as many as reach `upTo`.
  draw(upTo = this.drawn) {
    const end = Math.min(this.places.length, Math.max(this.drawn + ROWS, Math.ceil((upTo + 1) / ROWS) * ROWS));
    const rows = this.places.slice(this.drawn, end).map((place) => this.row(place));
    this.drawn = end;
    this.list.append(...rows);
    this.more.disconnect();
    if (end < this.places.length) this.more.observe(this.list.lastElementChild);
    this.mark();
  }

  row(place) {
    const { answers } = this, { index } = answers;
    const sides = answers.sides.map((side) => ({ name: index.names[side], ...answers.told(side, place) }));
    const [flip] = index.flips[index.flip[place]], between = (nodes) => nodes.flatMap((node, at) => (at ? [el("span.soft", { "aria-hidden": "true" }, " → "), node] : [node]));
    return el("li", { "data-number": index.number[place], "data-flip": flip },
      el("span.marks", {}, between(sides.map(({ mark, kind, name, words }) => el("span", {}, el("span." + kind, { "aria-hidden": "true" }, mark), el("span.sr", {}, `${name} ${words} `))))),
      el("span.asked", {}, el("button", { type: "button" }, shown(index.text[place] || "(no text)"))),
      el("span.answers.small.soft", {}, answers.fell.has(place) ? [answers.baseline(place), " · "] : null, "truth ", el("span.mono", {}, shown(index.truth[place])), " · said ", between(sides.map(({ said, kind, instead }) => el("span.mono." + kind, {}, said ? shown(said.slice(0, 24)) : instead ?? NONE)))));
  }

  rowOf(number) {
    return this.list.querySelector(`li[data-number="${Number(number)}"]`);
  }

  // The number of the question whose card is shown: beside the list, that is the first one until one is opened.
  get current() {
    return this.state.open || (this.narrow.matches || !this.places.length ? undefined : this.first);
  }
  get first() {
    return String(this.answers.index.number[this.places[0]]);
  }
  // The place of that question in the list; -1 where the filter hides it or none is open.
  get at() {
    return this.places.indexOf(this.answers.places.get(this.current));
  }

  open(number) {
    return this.go({ ...this.state, open: String(number) });
  }

  async drawCard() {
    if (!this.shown) return;
    const { state, card, box, answers, current } = this, place = answers.places.get(current);
    box.classList.toggle("opened", place !== undefined && Boolean(state.open));
    for (const row of this.list.querySelectorAll("[aria-current]")) row.removeAttribute("aria-current");
    if (place === undefined) {
      card.replaceChildren(...(state.open ? [el("p.soft.hint", {}, `There is no question ${state.open}.`)] : []));
      return;
    }
    if (this.at >= this.drawn) this.draw(this.at);
    const row = this.rowOf(current);
    row?.setAttribute("aria-current", "true");
    if (state.open) row?.scrollIntoView({ block: "nearest" });
    const text = await answers.text(place);
    if (this.current !== current) return;
    const act = { close: () => this.close(), step: (by) => this.step(by), raw: () => this.raw() };
    card.replaceChildren(...questionCard(answers, place, text, state, act).flat().filter(Boolean));
    card.scrollTop = 0;
    if (this.shown && getComputedStyle(this.list.parentElement).display === "none") scrollTo(0, 0);
    this.mark();
  }

  step(by) {
    const next = this.current === undefined ? (by > 0 ? 0 : this.places.length - 1) : this.at + by;
    if (next >= 0 && next < this.places.length) this.open(this.answers.index.number[this.places[next]]);
  }

  close() {
    const { open } = this.state;
    if (this.narrow.matches) this.go({ ...this.state, open: "" });
    this.rowOf(open)?.scrollIntoView({ block: this.narrow.matches ? "center" : "nearest" });
    this.rowOf(open)?.querySelector("button").focus({ preventScroll: true });
  }

  raw() {
    this.go({ ...this.state, raw: this.state.raw ? "" : "1" });
  }

  // What a search found, marked where it stands; a browser without highlights shows the same page unmarked.
  mark() {
    if (!("highlights" in CSS)) return;
    CSS.highlights.delete("found");
    const words = needles(this.state.q ?? ""), ranges = [];
    if (!words.length) return;
    const walk = document.createTreeWalker(this.box, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node && ranges.length < 2000; node = walk.nextNode()) {
      const text = node.data.toLowerCase();
      if (text.length !== node.data.length || !node.parentElement.closest(".asked, .text, .truth")) continue;
      for (const word of words) {
        for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + word.length);
          ranges.push(range);
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || !this.shown) return;
    if (event.key === "Escape") return event.target === this.form.q ? this.form.q.blur() : this.state.open && this.close();
    if (event.target === this.form.q && event.key === "Enter") { event.preventDefault(); this.form.q.blur(); return this.places.length && this.open(this.first); }
    if (event.target.closest("input, select, textarea, .plot")) return;
    const acts = { j: () => this.step(1), k: () => this.step(-1), r: () => this.raw(), "/": () => this.form.q.focus() };
    if (event.target.closest(".list")) Object.assign(acts, { ArrowDown: acts.j, ArrowUp: acts.k });
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  async export() {
    const button = this.box.querySelector(".csv"), words = button.textContent;
    const pieces = await csvOf(this.answers, this.places, (share) => { button.textContent = Math.floor(100 * share) + " %"; });
    const link = el("a", { download: document.title.replace(/[^\w.-]+/g, "-").replace(/^-|-$/g, "") + ".csv" });
    link.href = URL.createObjectURL(new Blob(pieces, { type: "text/csv;charset=utf-8" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    button.textContent = words;
  }
}

// CSV of the questions that are listed: a row a completion, as RFC 4180 has it.
async function csvOf(answers, places, tell) {
  const { index } = answers, unique = (names) => [...new Set(names)];
  const functions = unique(answers.sides.flatMap((side) => Object.keys(index.sides[side].rewards)));
  const graders = unique(answers.sides.flatMap((side) => Object.keys(index.sides[side].grades)));
  const lines = [[
    "question_id", "number", "change", "baseline", "side", "sample", "seed", "status", "finish_reason", "extracted", "ground_truth", "reward",
    ...functions.map((name) => "rewards." + name), ...graders.flatMap((name) => [name + ".correct", name + ".extracted"]),
    "prompt_tokens", "completion_tokens", "question", "completion",
  ]];
  for (const [done, place] of places.entries()) {
    const [text, truth, prompt, before, after] = await answers.text(place);
    for (const side of answers.sides) {
      const columns = index.sides[side];
      answers.rows(side, place).forEach((row, at) => {
        const reward = (name) => (columns.rewards[name] && cell(columns.rewards[name], row)) || (columns.rewards[name] && cell(columns.rewards[name], row) === 0 ? 0 : null);
        const grade = (name) => (!columns.grades[name] || columns.grades[name].correct[row] === 3 ? [null, null] : [[false, true, null][columns.grades[name].correct[row]], answers.extractedBy(side, name, row)]);
        lines.push([
          index.id[place], index.number[place], index.flips[index.flip[place]][0], cell(index.baseline, place), index.names[side], cell(columns.sample, row), cell(columns.seed, row),
          answers.status(side, row)[0], answers.finish(side, row)[0], columns.extracted[row], truth, columns.reward[row],
          ...functions.map(reward), ...graders.flatMap(grade),
          cell(columns.prompt_tokens, row), columns.completion_tokens[row], text ?? answers.turns(prompt).at(-1)[1], completionOf({ before, after }[side][at]),
        ]);
      });
    }
    if (done % 200 === 199) { tell(done / places.length); await breath(); }
  }
  return lines.map((line) => line.map(csvCell).join(",") + "\r\n");
}

// A text that a spreadsheet would take for a formula gets an apostrophe before it; a plain number is none.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r＝＋－＠]/.test(text) && !/^[+-]?\d+(\.\d+)?$/.test(text)) text = "'" + text;
  return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

async function startQuestions(box) {
  try {
    const questions = new Questions(box, await unpack("questions"));
    await questions.follow();
    box.hidden = false;
    document.documentElement.dataset.questions = "ready";
    performance.mark("questions");
  } catch (error) {
    document.querySelector("#questions .failed").hidden = false;
    throw error;
  }
}

/* Groups: the completions of a step, or of one question over the steps */

const differ = ({ totals }) => { const values = known(totals); return values.length > 0 && Math.max(...values) - Math.min(...values) > 1e-8; };

class Groups {
  constructor(box, index) {
    Object.assign(this, { box, index, form: box.querySelector("form"), area: box.querySelector(".shown"), matches: box.querySelector(".matches"), status: box.querySelector(".status") });
    this.places = new Map(index.steps.map(([step], place) => [String(step), place]));
    this.asked = new Map(index.questions.map(([id], question) => [id, question]));
    this.times = index.questions.map((_, question) => index.steps.filter(([, , , questions]) => questions.includes(question)).length);
    this.state = {};
    const { form } = this;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.step.addEventListener("change", () => this.go({ ...this.state, over: "", step: this.nearest(Number(form.step.value)) }));
    form.addEventListener("click", (event) => { const by = event.target.closest("[data-go]")?.dataset.go; if (by) this.move(Number(by)); });
    for (const chip of form.querySelectorAll("[type=radio]")) chip.addEventListener("change", () => this.go({ ...this.state, signal: chip.value }));
    form.question.addEventListener("input", () => this.search());
    form.question.addEventListener("keydown", (event) => event.key === "Enter" && this.matches.querySelector("button")?.click());
    box.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by && !event.target.closest("input, .text") && !event.ctrlKey && !event.metaKey && !event.altKey) this.move(by);
    });
    addEventListener("hashchange", () => this.follow());
    addEventListener("popstate", () => this.follow());
  }

  nearest(step) {
    return String(this.index.steps.reduce((best, [each]) => (Math.abs(each - step) < Math.abs(best - step) ? each : best), this.index.steps[0][0]));
  }

  follow() {
    const { tab, step, over, signal } = readAddress();
    return tab === "groups" ? this.show({ step: step && this.nearest(Number(step)), over, signal }) : null;
  }

  go(state) {
    writeAddress("groups", GROUP_KEYS, state, false);
    return this.show(state);
  }

  // To the next step in a direction that has a group of the chosen kind.
  move(by) {
    const { steps } = this.index, { signal } = this.state;
    for (let at = (this.places.get(this.state.step) ?? 0) + by; at >= 0 && at < steps.length; at += by) {
      const [step, , , questions, having] = steps[at];
      if (!signal || (signal === "yes" ? having : questions.length - having) > 0) return this.go({ ...this.state, over: "", step: String(step) });
    }
    return null;
  }

  async groupsAt(place) {
    const [step, block, row] = this.index.steps[place];
    return (await unpack("groups-" + block))[row].map((group) => [step, group]);
  }

  async show(state) {
    const { index, form } = this, over = this.asked.get(state.over);
    this.state = state = { ...state, step: over === undefined ? state.step || String(index.steps.at(-1)[0]) : "", over: over === undefined ? "" : state.over };
    const at = this.places.get(state.step) ?? 0;
    const where = over === undefined ? [at] : index.steps.flatMap(([, , , questions], place) => (questions.includes(over) ? [place] : []));
    const all = (await Promise.all(where.map((place) => this.groupsAt(place)))).flat().filter(([, group]) => over === undefined || group.question === over);
    if (this.state !== state) return;
    const having = all.filter(([, group]) => differ(group)).length, counts = { "": all.length, yes: having, no: all.length - having };
    for (const chip of form.querySelectorAll("[type=radio]")) {
      chip.checked = chip.value === (state.signal ?? "");
      chip.nextElementSibling.querySelector("i").textContent = counts[chip.value];
    }
    form.step.value = state.step;
    const rewards = known(all.flatMap(([, group]) => group.totals));
    this.status.replaceChildren(...(over === undefined
      ? [`Step ${state.step}: ${all.length} group${all.length === 1 ? "" : "s"}, mean reward ${plain(mean(rewards))}, ${having} with signal`]
      : [`One question in ${where.length} step${where.length === 1 ? "" : "s"}, mean reward ${plain(mean(rewards))} `, el("button.over", { type: "button", onclick: () => this.go({ signal: state.signal, step: String(index.steps[where[0]]?.[0] ?? "") }) }, "back to the steps")]));
    const wanted = all.filter(([, group]) => !state.signal || differ(group) === (state.signal === "yes"));
    const draw = (from) => {
      const cards = wanted.slice(from, from + 24).map(([step, group]) => this.card(step, group, over !== undefined));
      if (wanted.length > from + 24) cards.push(el("button.over", { type: "button", onclick: (event) => event.target.replaceWith(...draw(from + 24)) }, `show more of ${wanted.length}`));
      return cards;
    };
    this.area.replaceChildren(...(wanted.length ? draw(0) : [el("p.soft", {}, "No such group here; the arrows go to the next step that has one.")]));
  }

  search() {
    const words = needles(this.form.question.value), { questions } = this.index;
    const found = !words.length ? [] : questions.map(([id, text], place) => [id, text, place]).filter(([id, text]) => words.every((word) => text.toLowerCase().includes(word) || beginsId(id.toLowerCase(), word)));
    this.matches.hidden = !words.length;
    this.matches.replaceChildren(...found.slice(0, 12).map(([id, text]) => el("li", {}, el("button", { type: "button", onclick: () => { this.form.question.value = ""; this.search(); this.go({ over: id }); } }, shown(text || id)))),
      el("li.soft", {}, !found.length ? "No training question has these words." : found.length > 12 ? `${found.length - 12} more: type more words` : ""));
  }

  card(step, group, over) {
    const { index } = this, [id, text, truth] = index.questions[group.question], rewards = known(group.totals), times = this.times[group.question];
    const middle = mean(rewards), std = rewards.length < 2 ? 0 : Math.sqrt(rewards.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (rewards.length - 1));
    return el("article.group", {},
      el("h3", {}, over ? "Step " + step : shown(text)),
      over ? el("p", {}, shown(text)) : null,
      el("p.facts.small.soft", {}, el("span", {}, "ground truth ", el("b.mono", {}, shown(truth))), el("span", {}, "reward, mean ", el("b", {}, plain(middle))), el("span", {}, "std ", el("b", {}, plain(std))),
        differ(group) ? null : el("span.no-signal", {}, "= no signal: equal rewards"),
        over ? el("button.over", { type: "button", onclick: () => this.go({ step: String(step) }) }, "all groups of step " + step)
          : times > 1 ? el("button.over", { type: "button", onclick: () => this.go({ over: id }) }, `this question in ${times} steps`) : null),
      el("ol.samples", {}, group.totals.map((_, row) => this.sample(group, row))));
  }

  sample(group, row) {
    const { index } = this, [kind, mark, words] = index.marks[group.statuses[row]] ?? ["open", "?", group.statuses[row]];
    const said = group.texts[row], tokens = group.tokens[row];
    const by = index.functions.length > 1 ? index.functions.map((name, place) => name + " " + plain(group.rewards[row][place])).join(", ") : "";
    const text = Array.isArray(said) ? [shown(said[0]), leftOut(said[1], "train/completions.jsonl"), shown(said[2])] : said ? shown(said) : el("span.soft", {}, "(empty)");
    const long = Array.isArray(said) || said.length > 300 || said.split("\n").length > 9;
    return el("li", {},
      el("div.score.small", {}, el("b." + kind, {}, mark + " " + words), el("span", {}, el("span.soft", {}, "advantage "), el("b", {}, signed(group.advantages[row]))), lean(group.advantages[row], index.reach),
        el("span", {}, el("span.soft", {}, "reward "), el("b", {}, plain(group.totals[row]))), el("span.soft", {}, count(tokens) + " tokens"), group.cut[row] ? el("span.warn", {}, "cut off") : null, by ? el("span.by.soft", {}, by) : null),
      el("div.text", long ? { tabindex: 0 } : {}, text));
  }
}

// An advantage as a bar to the right or the left; half of its width is the largest of the training.
function lean(advantage, reach) {
  const make = (name, attributes) => { const node = document.createElementNS("http://www.w3.org/2000/svg", name); for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value); return node; };
  const svg = make("svg", { class: "lean", viewBox: "-50 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }), width = reach ? (50 * Math.abs(advantage ?? 0)) / reach : 0;
  svg.append(make("rect", { class: advantage > 0 ? "up" : "down", x: advantage > 0 ? 0 : -width, width, y: 0, height: 10 }), make("line", { x1: 0, x2: 0, y1: -2, y2: 12 }));
  return svg;
}

// Nothing is unpacked before somebody looks.
async function startGroups(box) {
  let groups = null;
  const arrive = async () => {
    if (groups || readAddress().tab !== "groups") return;
    groups = new Groups(box, await unpack("groups"));
    box.hidden = false;
    await groups.follow();
    document.documentElement.dataset.groups = "ready";
  };
  addEventListener("hashchange", arrive);
  addEventListener("popstate", arrive);
  await arrive();
}

/* Tables of runs: a click on a column's head sorts by it, a second one turns the order round */

function startSorting(table) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], atFirst = [...body.rows];
  const value = (row, place) => row.cells[place].dataset.sort ?? row.cells[place].textContent.trim();
  const order = (a, b) => { const apart = Number(a) - Number(b); return Number.isNaN(apart) ? (a < b ? -1 : a > b ? 1 : 0) : apart; };
  heads.forEach((head, place) => {
    const sort = () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      if (place === 0 && down) return body.replaceChildren(...atFirst);
      // What stands between runs by date has no place in another order.
      const rows = atFirst.filter((row) => !row.classList.contains("break"));
      const there = rows.filter((row) => value(row, place) !== ""), rest = rows.filter((row) => value(row, place) === "");
      there.sort((a, b) => (down ? -1 : 1) * order(value(a, place), value(b, place)));
      return body.replaceChildren(...there, ...rest);
    };
    head.replaceChildren(el("button", { type: "button", onclick: sort }, ...head.childNodes));
  });
}

if (document.querySelector(".tabs")) startTabs();
document.querySelectorAll("[data-chart] .canvas").forEach(startChart);
document.querySelectorAll("table.runs").forEach(startSorting);
for (const said of document.querySelectorAll(".said")) {
  const rich = !said.querySelector(".ctl, .fold") && isMarkedUp(said.textContent) && richly(said.textContent);
  if (rich) { said.classList.add("rich"); said.replaceChildren(...rich.flat(Infinity)); }
}
const app = document.getElementById("app"), browse = document.getElementById("browse");
if (app) startQuestions(app);
if (browse) startGroups(browse);
