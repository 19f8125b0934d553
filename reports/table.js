// The table of questions: rows of one page, the opened one below its row, and keys to go through them.
class QuestionTable {
  constructor(table, answers, texts, act) {
    Object.assign(this, { table, answers, texts, act });
    this.body = table.tBodies[0];
    this.rows = new Map(); // question number -> its row
    this.opened = null;
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr.row");
      if (!row || event.target.closest("a") || String(getSelection()).trim()) return;
      row.querySelector("button").focus({ preventScroll: true });
      act.toggle(row.dataset.number);
    });
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) act.sort(button.dataset.sort);
    });
  }

  // Show these places and the order; keep the focus on the question that has it.
  show(places, sort) {
    const focused = this.focused();
    this.close();
    this.rows.clear();
    const page = document.createDocumentFragment();
    for (const place of places) page.append(this.row(place));
    this.body.replaceChildren(page);
    if (focused) this.focus(this.rows.has(focused) ? focused : this.first());
    for (const button of this.table.tHead.querySelectorAll("button")) {
      const by = button.dataset.sort, down = sort === "-" + by;
      const header = button.closest("th"), active = down || sort === by;
      if (active) header.ariaSort = down ? "descending" : "ascending";
      else header.removeAttribute("aria-sort");
      button.querySelector(".dir").textContent = active ? (down ? " ↓" : " ↑") : "";
    }
  }

  row(place) {
    const { index } = this.answers, number = String(index.number[place]);
    const row = document.createElement("tr");
    row.className = "row";
    row.dataset.number = number;
    row.setAttribute("role", "row");
    const button = document.createElement("button");
    button.type = "button";
    button.ariaExpanded = "false";
    button.append(...shown(index.text[place] || "(no text)"));
    const reward = this.answers.mean("reward", place), tokens = this.answers.mean("completion_tokens", place);
    const cells = [
      ["marks", marksOf(this.answers, place)],
      ["asked", [button]],
      ["truth", shown(index.truth[place])],
      ["said", saidOf(this.answers, place)],
      ["number reward", [plain(reward)]],
      ["number tokens", [count(tokens)]],
    ];
    for (const [name, nodes] of cells) {
      const data = document.createElement("td");
      data.className = name;
      data.setAttribute("role", "cell");
      data.append(...nodes);
      row.append(data);
    }
    this.rows.set(number, row);
    return row;
  }

  // Open one question of the page, or none. Resolves once it is drawn.
  async open(number, scroll) {
    if (this.opened === number) return;
    this.close();
    const row = this.rows.get(number);
    if (!row) return;
    this.opened = number;
    const detail = document.createElement("tr"), data = document.createElement("td");
    detail.className = "detail";
    detail.id = "opened";
    detail.setAttribute("role", "row");
    data.setAttribute("role", "cell");
    data.colSpan = row.cells.length;
    data.append("…");
    detail.append(data);
    row.after(detail);
    row.classList.add("is-open");
    const button = row.querySelector("button");
    button.ariaExpanded = "true";
    button.setAttribute("aria-controls", "opened");
    const place = this.answers.places.get(Number(number));
    const text = await this.texts.of(place);
    if (!detail.isConnected) return;
    data.replaceChildren(questionCard(this.answers, place, text));
    if (scroll) this.reveal(row, true);
  }

  // Scroll so that a row is seen below the tools, which stay at the top of a wide window.
  reveal(row, toTop = false) {
    const tools = this.table.parentElement.querySelector(".tools");
    const covered = getComputedStyle(tools).position === "sticky" ? tools.offsetHeight + 8 : 0;
    const { top, bottom } = row.getBoundingClientRect();
    if (toTop || top < covered) scrollBy(0, top - covered);
    else if (bottom > innerHeight) scrollBy(0, bottom - innerHeight + 8);
  }

  close() {
    const row = this.rows.get(this.opened);
    this.opened = null;
    if (!row) return;
    row.nextElementSibling?.remove();
    row.classList.remove("is-open");
    const button = row.querySelector("button");
    button.ariaExpanded = "false";
    button.removeAttribute("aria-controls");
  }

  focused() {
    return this.body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset.number ?? this.opened : null;
  }

  focus(number) {
    const row = this.rows.get(number);
    row?.querySelector("button").focus({ preventScroll: true });
    if (row) this.reveal(row);
  }

  first() {
    return this.rows.keys().next().value;
  }

  last() {
    return Array.from(this.rows.keys()).at(-1);
  }

  // One row on or back from the one with the focus, or from the opened one; false where the page ends.
  move(by) {
    const numbers = Array.from(this.rows.keys());
    const at = numbers.indexOf(this.focused() ?? this.opened);
    const next = at < 0 ? (by > 0 ? 0 : numbers.length - 1) : at + by;
    if (next < 0 || next >= numbers.length) return false;
    this.focus(numbers[next]);
    return true;
  }
}
