// An opened question: the templates of cards.html, filled as harness/report/cards.py fills them, and differences marked.
const arrow = () => {
  const sign = document.createElement("span");
  sign.className = "soft";
  sign.ariaHidden = "true";
  sign.append("→");
  return [" ", sign, " "];
};
const between = (lists, separator) => lists.flatMap((list, place) => (place ? [...separator(), ...list] : list));

function marksOf(answers, place) {
  const { index } = answers;
  const sides = answers.sides.map((side) => {
    const { kind, mark, words } = answers.state(side, place);
    return [fill("mark", { kind, mark, words: index.two_sided ? index.names[side] + " " + words + ", " : words + ", " })];
  });
  const [flip, words] = index.flips[index.flip[place]];
  return [...between(sides, arrow), " ", fill("flip", { flip, words })];
}

function saidOf(answers, place) {
  const sides = answers.sides.map((side) => {
    const { extracted, cut } = answers.state(side, place);
    return [fill("said", { words: shorten(extracted, 24) || NONE, cut: cut ? "cut" : "" })];
  });
  return between(sides, arrow);
}

function shorten(text, limit) {
  const line = text.slice(0, limit * 8).split(/\s+/u).filter(Boolean).join(" ");
  const points = Array.from(line);
  return points.length <= limit && text.length <= limit * 8 ? line : points.slice(0, limit - 1).join("").trimEnd() + "…";
}

function questionCard(answers, place, [text, truth, prompt, before, after]) {
  const { index } = answers;
  const asked = turnsOf(index, prompt);
  const own = asked.length - 1;
  const completions = { before, after };
  return fill("question", {
    earlier: own > 0 ? earlier(asked.slice(0, -1), earlierWords(asked.slice(0, -1))) : [],
    asked: asked.length ? turnCards(asked.slice(-1)) : fill("turn", { role: "user", content: folded(text) }),
    truth: folded(truth),
    number: String(index.number[place]),
    id: shown(index.id[place]),
    answers: answerPairs(answers, place, completions),
  });
}

function earlierWords(turns) {
  if (turns.length === 1 && turns[0][0] === "system") return "system prompt";
  return (turns.length === 1 ? "1 earlier turn" : turns.length + " earlier turns") + " of the prompt";
}

function turnsOf(index, prompt) {
  return prompt.map((turn) => (typeof turn === "number" ? index.turns[turn] : turn));
}

function earlier(turns, summary) {
  return fill("earlier", { summary, turns: turnCards(turns) });
}

function turnCards(turns) {
  return turns.map(([role, content]) => fill("turn", { role: shown(role), content: folded(content) }));
}

function answerPairs(answers, place, completions) {
  const { index } = answers;
  const counts = answers.sides.map((side) => completions[side].length);
  const samples = Math.max(...counts), shape = index.two_sided ? "" : "alone";
  const pairs = [];
  for (let at = 0; at < Math.max(1, samples); at++) {
    const texts = answers.sides.map((side) => completions[side][at]);
    const differ = texts.length === 2 && texts[0] && texts[1] ? differences(texts[0][0], texts[1][0]) : null;
    const cards = answers.sides.map((side, which) =>
      texts[which] ? answerCard(answers, side, place, at, texts[which], differ && [differ[which], which]) :
        fill("missing", { words: index.names[side] + ": not asked" }));
    if (differ && differ.some((spans) => spans.length)) cards.push(legend(index));
    if (samples <= 1) { pairs.push(fill("pair", { sides: shape, answers: cards })); continue; }
    const asked = answers.sides.filter((side, which) => texts[which]);
    const marks = between(asked.map((side) => [statusOf(answers, side, answers.range(side, place)[0] + at)]), arrow);
    const name = "sample " + (at + 1) + " of " + samples;
    pairs.push(fill(at ? "sample" : "sample-open", { name, marks, sides: shape, answers: cards }));
  }
  return pairs;
}

function legend(index) {
  const line = document.createElement("p");
  line.className = "differences soft small";
  const gone = document.createElement("del"), added = document.createElement("ins");
  gone.append("dotted underline");
  added.append("solid underline");
  line.append(gone, " only " + index.names.before + ", ", added, " only " + index.names.after);
  return line;
}

function answerCard(answers, side, place, at, [completion, spots = [], prompt = null], differ) {
  const { index } = answers, columns = index.sides[side], row = answers.range(side, place)[0] + at;
  const [finish, finishWords] = index.finishes[columns.finish[row]];
  const layers = [spots.map(([start, end, name]) => [start, end, (words) => fill("spot", { name, words })])];
  if (differ) layers.push(differ[0].map(([start, end]) => [start, end, (words) => wrapped(differ[1] ? "ins" : "del", words)]));
  const terms = Object.entries(columns.rewards).filter(([, column]) => cell(column, row) !== false).map(([name, column]) => {
    const weight = index.weights[name];
    return [fill("term", { function: shown(name), value: plain(cell(column, row)), weight: weight === undefined ? "" : " × weight " + weight })];
  });
  const graders = Object.entries(columns.grades).filter(([, { correct }]) => correct[row] !== 3);
  return fill("answer", {
    name: index.names[side],
    status: statusOf(answers, side, row),
    prompt: prompt ? earlier(turnsOf(index, prompt), "asked with another prompt") : [],
    completion: completion ? folded(completion, layers) : fill("soft", { words: shown(cell(columns.error, row) || "(empty)") }),
    extracted: columns.extracted[row] === null ? fill("soft", { words: completion.includes(index.form.token) ? index.form.empty : index.form.absent }) : fill("mono", { words: shown(columns.extracted[row]) }),
    reward: plain(columns.reward[row]),
    terms: terms.length ? [" = ", ...between(terms, () => [" + "])] : [],
    graders: graders.map(([name, { correct }]) => graderCard(index, name, correct[row], answers.extractedBy(side, name, row))),
    finish: finish === "length" ? fill("bold", { words: finishWords }) : shown(finishWords),
    tokens: count(columns.completion_tokens[row]),
    prompt_tokens: count(columns.prompt_tokens[row]),
  });
}

function wrapped(tag, nodes) {
  const element = document.createElement(tag);
  element.append(...nodes);
  return element;
}

function statusOf(answers, side, row) {
  const [, words, mark, kind] = answers.index.statuses[answers.index.sides[side].status[row]];
  return fill("status", { kind, mark, words: shown(words) });
}

function graderCard(index, grader, correct, extracted) {
  const [kind, verdict] = correct === 0 && extracted === null ? ["bad", "∅ no answer"] :
    [["bad", "✗ wrong"], ["good", "✓ correct"], ["open", "? not scored"]][correct];
  const words = extracted === null ? "" : fill("code", { words: shown(extracted) });
  return fill("grader", { grader: index.rules[grader] ?? grader, name: shown(index.graders[grader] ?? grader), kind, verdict, extracted: words });
}
