// What is asked of the table, as a state that stands in the address (#flip=lost&q=apples), and what it selects.
const QUERY = ["q", "flip", "before", "before-finish", "after", "after-finish", "graders", "min", "max", "sort", "page", "open"];

// The state of an address; null where the address speaks of something else on the page.
function readState(hash) {
  const text = hash.replace(/^#/, "");
  const single = /^q(\d+)$/.exec(text);
  if (single) return { open: single[1] };
  const read = new URLSearchParams(text), state = {};
  for (const key of QUERY) if (read.get(key)) state[key] = read.get(key);
  return text && !Object.keys(state).length ? null : state;
}

function writeState(state) {
  return new URLSearchParams(QUERY.filter((key) => state[key]).map((key) => [key, state[key]])).toString();
}

// Whether anything but order, page and the opened question is asked.
function narrows(state) {
  return QUERY.slice(0, -3).some((key) => state[key]);
}

// place -> whether the index lets the question through; a search in texts comes on top.
function filterOf(answers, state) {
  const { index } = answers;
  const flip = state.flip ? index.flips.findIndex(([name]) => name === state.flip) : -1;
  const low = numberOf(state.min), high = numberOf(state.max);
  const bySide = answers.sides.map((side) => {
    const columns = index.sides[side], last = side === answers.last;
    const status = state[side] ? index.statuses.findIndex(([value]) => value === state[side]) : null;
    const wanted = state[side + "-finish"];
    const finish = wanted ? index.finishes.findIndex(([value]) => value === wanted) : null;
    const reward = last && (low !== null || high !== null);
    if (status === null && finish === null && !reward) return null;
    const fits = (row) =>
      (status === null || columns.status[row] === status) &&
      (finish === null || columns.finish[row] === finish) &&
      (!reward || (columns.reward[row] !== null && columns.reward[row] >= (low ?? -Infinity) && columns.reward[row] <= (high ?? Infinity)));
    return (place) => some(answers.range(side, place), fits);
  }).filter(Boolean);
  const graders = state.graders === "disagree" || state.graders === "agree" ? state.graders : null;
  const differ = (place) => answers.sides.some((side) => some(answers.range(side, place), (row) => answers.disagree(side, row)));
  return (place) =>
    (!state.flip || index.flip[place] === flip) &&
    bySide.every((fits) => fits(place)) &&
    (!graders || differ(place) === (graders === "disagree"));
}

function some([first, end], fits) {
  for (let row = first; row < end; row++) if (fits(row)) return true;
  return false;
}

function numberOf(text) {
  const value = Number.parseFloat(text);
  return Number.isFinite(value) ? value : null;
}

// Places in the asked order. Without one they stand as packed: flips first, then in the order of the questions.
function sorted(answers, places, sort) {
  if (!sort) return places;
  const down = sort.startsWith("-"), by = sort.replace(/^-/, "");
  const { index } = answers;
  const keys = {
    change: (place) => index.flip[place],
    question: (place) => index.number[place],
    truth: (place) => orderly(index.truth[place]),
    extracted: (place) => orderly(answers.state(answers.last, place).extracted),
    reward: (place) => answers.mean("reward", place),
    tokens: (place) => answers.mean("completion_tokens", place),
  };
  if (!keys[by]) return places;
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

// Whether a word is an id or begins one; a stretch from its middle says nothing to a reader.
function beginsId(id, word) {
  return id.startsWith(word) || (word.length > 5 && id.slice(id.lastIndexOf("/") + 1).startsWith(word));
}

// The words of a search: all must be there; "in quotes" they stand together.
function needles(search) {
  const found = search.toLowerCase().match(/"[^"]+"|\S+/g) ?? [];
  return found.map((word) => (/^".+"$/.test(word) ? word.slice(1, -1) : word));
}
