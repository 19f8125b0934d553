// The index of questions (harness/report/blocks.py): columns of numbers and short strings, and what a row of the table needs.
class Answers {
  constructor(index) {
    this.index = index;
    this.length = index.number.length;
    this.sides = Object.keys(index.sides);
    this.last = this.sides[this.sides.length - 1];
    this.starts = {};
    for (const side of this.sides) {
      const starts = (this.starts[side] = new Int32Array(this.length + 1));
      index.sides[side].count.forEach((count, place) => { starts[place + 1] = starts[place] + count; });
    }
    this.places = new Map(index.number.map((number, place) => [number, place]));
  }

  // The rows of one question in a side's columns: [first, end).
  range(side, place) {
    return [this.starts[side][place], this.starts[side][place + 1]];
  }

  // The mean of a column over a question's answers on the last side; null where there is none.
  mean(name, place) {
    const column = this.index.sides[this.last][name];
    const [first, end] = this.range(this.last, place);
    let sum = 0, known = 0;
    for (let row = first; row < end; row++) if (column[row] !== null) { sum += column[row]; known++; }
    return known ? sum / known : null;
  }

  // One question on one side in a few characters: harness.report.present.side.
  state(side, place) {
    const { statuses, finishes } = this.index, columns = this.index.sides[side];
    const [first, end] = this.range(side, place);
    if (first === end) return { mark: NONE, kind: "open", words: "not asked", extracted: "", cut: false };
    let cut = false, right = 0, scored = 0;
    const said = new Map();
    for (let row = first; row < end; row++) {
      const status = statuses[columns.status[row]][0], extracted = columns.extracted[row];
      cut ||= finishes[columns.finish[row]][0] === "length";
      right += status === "correct";
      scored += status !== "unscored";
      if (extracted) said.set(extracted, (said.get(extracted) ?? 0) + 1);
    }
    let extracted = "", most = 0;
    for (const [answer, times] of said) if (times > most) [extracted, most] = [answer, times];
    if (end - first === 1) {
      const [, words, mark, kind] = statuses[columns.status[first]];
      return { mark, kind, words, extracted, cut };
    }
    const kind = !scored ? "open" : right / scored > 0.5 ? "good" : "bad";
    return { mark: right + "/" + (end - first), kind, words: right + " of " + (end - first) + " correct", extracted, cut };
  }

  // Whether graders disagree about an answer: one says correct and another wrong.
  disagree(side, row) {
    let right = false, wrong = false;
    for (const { correct } of Object.values(this.index.sides[side].grades)) {
      right ||= correct[row] === 1;
      wrong ||= correct[row] === 0;
    }
    return right && wrong;
  }

  // What a grader extracted: 0 stands for what decided the status.
  extractedBy(side, grader, row) {
    const columns = this.index.sides[side], extracted = columns.grades[grader].extracted[row];
    return extracted === 0 ? columns.extracted[row] : extracted;
  }
}

function cell(column, row) {
  return Array.isArray(column) ? column[row] : column.every;
}

// Texts by block, the last used kept: a page of ten thousand completions does not fit into a phone's memory unpacked.
const KEPT_BLOCKS = 40;
class Texts {
  constructor(index) {
    this.size = index.size;
    this.blocks = index.blocks;
    this.kept = new Map();
  }

  blockOf(place) {
    return Math.floor(place / this.size);
  }

  block(number) {
    const found = this.kept.get(number) ?? unpackAgain("questions-text-" + number);
    this.kept.delete(number); // to the end of the order: the first is the one used longest ago
    this.kept.set(number, found);
    if (this.kept.size > KEPT_BLOCKS) this.kept.delete(this.kept.keys().next().value);
    return found;
  }

  // [text, truth, prompt, before, after] of one question.
  async of(place) {
    return (await this.block(this.blockOf(place)))[place % this.size];
  }
}
