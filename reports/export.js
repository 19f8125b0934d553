// CSV of the questions that are shown: a row a completion, as RFC 4180 has it.
async function csvOf(answers, texts, places, tell) {
  const { index } = answers;
  const functions = unique(answers.sides.flatMap((side) => Object.keys(index.sides[side].rewards)));
  const graders = unique(answers.sides.flatMap((side) => Object.keys(index.sides[side].grades)));
  const lines = [[
    "question_id", "number", "change", "side", "sample", "seed", "status", "finish_reason", "extracted", "ground_truth", "reward",
    ...functions.map((name) => "rewards." + name), ...graders.flatMap((name) => [name + ".correct", name + ".extracted"]),
    "prompt_tokens", "completion_tokens", "question", "completion",
  ]];
  for (const [done, place] of places.entries()) {
    const [text, truth, prompt, before, after] = await texts.of(place);
    const asked = text ?? turnsOf(index, prompt).at(-1)[1];
    const completions = { before, after };
    for (const side of answers.sides) {
      const columns = index.sides[side], [first] = answers.range(side, place);
      completions[side].forEach(([completion], at) => {
        const row = first + at;
        lines.push([
          index.id[place], index.number[place], index.flips[index.flip[place]][0], index.names[side], columns.sample[row],
          cell(columns.seed, row), index.statuses[columns.status[row]][0], index.finishes[columns.finish[row]][0],
          columns.extracted[row], truth, columns.reward[row],
          ...functions.map((name) => rewardOf(columns, name, row)),
          ...graders.flatMap((name) => graderCells(answers, side, name, row)),
          columns.prompt_tokens[row], columns.completion_tokens[row], asked, completion,
        ]);
      });
    }
    if (done % 200 === 199) { tell(done / places.length); await breath(); }
  }
  return lines.map((line) => line.map(csvCell).join(",") + "\r\n");
}

function rewardOf(columns, name, row) {
  const value = columns.rewards[name] ? cell(columns.rewards[name], row) : false;
  return value === false ? null : value;
}

function graderCells(answers, side, grader, row) {
  const grades = answers.index.sides[side].grades[grader];
  if (!grades || grades.correct[row] === 3) return [null, null];
  return [[false, true, null][grades.correct[row]], answers.extractedBy(side, grader, row)];
}

// A text that a spreadsheet would take for a formula gets an apostrophe before it; a plain number is none.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  let text = typeof value === "string" ? value : String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text) && !/^[+-]?\d+(\.\d+)?$/.test(text)) text = "'" + text;
  return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}

function unique(names) {
  return Array.from(new Set(names));
}

function save(name, pieces, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(pieces, { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// Lets the page breathe: what was clicked or typed meanwhile is handled before the work goes on.
function breath() {
  return new Promise((resolve) => { setTimeout(resolve); });
}
