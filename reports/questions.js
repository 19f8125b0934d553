// The questions of a run's page: the state in the address, the tools, the search, and the table they lead to.
const PAGE_ROWS = 50, TYPING = 150;

class Questions {
  constructor(box, index) {
    this.box = box;
    this.form = box.querySelector("form");
    this.answers = new Answers(index);
    this.texts = new Texts(index);
    this.table = new QuestionTable(box.querySelector("table"), this.answers, this.texts, {
      toggle: (number) => this.go({ ...this.state, open: this.state.open === number ? "" : number }),
      sort: (by) => this.go({ ...this.state, sort: this.nextSort(by), page: "" }),
    });
    this.state = {};
    this.asked = 0; // which search is the latest
    this.found = { key: null, places: null };
    this.listen();
  }

  listen() {
    const { form, box } = this;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", (event) => this.go(this.fromForm(event.target)));
    form.addEventListener("input", (event) => {
      clearTimeout(this.typing);
      if (["search", "number"].includes(event.target.type)) {
        this.typing = setTimeout(() => this.go(this.fromForm(event.target), true), TYPING);
      }
    });
    box.querySelector(".clear").addEventListener("click", () => { this.go({ sort: this.state.sort }); form.q.focus(); });
    box.querySelector(".csv").addEventListener("click", () => this.export());
    box.querySelector(".previous").addEventListener("click", () => this.turn(-1));
    box.querySelector(".next").addEventListener("click", () => this.turn(1));
    addEventListener("popstate", () => this.follow());
    addEventListener("hashchange", () => this.follow());
    addEventListener("keydown", (event) => this.key(event));
    // A link to a part of the page goes there; the address keeps what it says about the table.
    addEventListener("click", (event) => {
      const link = event.target.closest?.("a[href^='#']"), part = link && document.getElementById(link.hash.slice(1));
      if (!part || !writeState(this.state) || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      part.scrollIntoView();
    });
  }

  // What the address says. One that speaks of something else on the page says nothing of the table: as it came.
  follow() {
    const state = readState(location.hash) ?? {};
    if (writeState(state) !== writeState(this.state)) this.show(state, true);
  }

  // A new state, in the address too; `quietly` replaces the entry of the history, as while somebody types. What comes
  // back ends when the state is shown, also where it was asked for before.
  go(state, quietly = false) {
    clearTimeout(this.typing);
    if (writeState(state) === writeState(this.state)) return this.showing;
    history[quietly ? "replaceState" : "pushState"](null, "", addressWith(QUERY, state));
    return (this.showing = this.show(state, false));
  }

  async show(state, arrived) {
    const same = writeState({ ...this.state, open: "" }) === writeState({ ...state, open: "" }) && this.places;
    this.state = state;
    this.toForm();
    if (!same) await this.list(arrived);
    else await this.open(arrived);
  }

  // The matching questions, in order, as far as the search has come.
  async list(arrived) {
    const ticket = ++this.asked, { state } = this;
    const fits = filterOf(this.answers, state);
    const candidates = [];
    for (let place = 0; place < this.answers.length; place++) if (fits(place)) candidates.push(place);
    if (!state.q) return this.draw(candidates, arrived);
    this.draw([], false, 0);
    let shown = 0, told = performance.now();
    const hits = [];
    for await (const done of this.search(candidates, needles(state.q), hits)) {
      if (ticket !== this.asked) return;
      if (performance.now() - told < 100) continue;
      told = performance.now();
      // Rows that are read do not move: while the search goes on the page is only added to.
      if (hits.length > shown && shown < PAGE_ROWS) { this.draw(hits.slice(), false, done); shown = hits.length; }
      else this.tell(hits.length, done);
    }
    if (ticket === this.asked) await this.draw(hits, arrived);
  }

  // Fills `hits` block by block and says after each what share is done.
  async *search(candidates, words, hits) {
    const { texts, answers } = this;
    let last = performance.now(), block = null, number = -1;
    for (const [done, place] of candidates.entries()) {
      if (texts.blockOf(place) !== number) {
        number = texts.blockOf(place);
        block = await texts.block(number);
        if (performance.now() - last > 12) { await breath(); last = performance.now(); }
        yield done / candidates.length;
      }
      const [text, truth, prompt, before, after] = block[place % texts.size];
      const asked = text ?? turnsOf(answers.index, prompt).at(-1)[1];
      const all = [asked, truth, ...before.map(([said]) => said), ...after.map(([said]) => said)];
      const hay = all.join("\n").toLowerCase();
      const id = answers.index.id[place].toLowerCase();
      if (words.every((word) => hay.includes(word) || beginsId(id, word))) hits.push(place);
    }
  }

  // Draw one page of the places; `share` is how far a search is, null where nothing is under way.
  async draw(places, arrived, share = null) {
    const { state, box } = this;
    this.places = sorted(this.answers, places, state.sort);
    const pages = Math.max(1, Math.ceil(places.length / PAGE_ROWS));
    let page = Math.min(pages, Math.max(1, Number.parseInt(state.page, 10) || 1));
    const opened = this.answers.places.get(Number(state.open));
    // A link to a question shows the page that holds it, and the question alone where the filter hides it.
    const at = opened === undefined ? -1 : this.places.indexOf(opened);
    if (at >= 0) page = Math.floor(at / PAGE_ROWS) + 1;
    this.page = page;
    const rows = this.places.slice((page - 1) * PAGE_ROWS, page * PAGE_ROWS);
    if (opened !== undefined && at < 0 && share === null) rows.unshift(opened);
    this.table.show(rows, state.sort ?? "");
    this.tell(places.length, share);
    box.querySelector(".nothing").hidden = rows.length > 0 || share !== null;
    box.querySelector(".pager").hidden = pages === 1;
    box.querySelector(".at").textContent = "page " + page + " of " + pages + ", questions " + count((page - 1) * PAGE_ROWS + 1) + " to " + count(Math.min(page * PAGE_ROWS, places.length)) + " of " + count(places.length);
    box.querySelector(".previous").ariaDisabled = String(page === 1);
    box.querySelector(".next").ariaDisabled = String(page === pages);
    if (share === null) await this.open(arrived);
  }

  async open(arrived) {
    const { state, table } = this;
    if (!state.open) { table.close(); return this.mark(); }
    if (!table.rows.has(state.open) && this.answers.places.has(Number(state.open))) return this.draw(this.places, arrived);
    const row = table.rows.get(state.open), top = row?.getBoundingClientRect().top;
    const opening = table.open(state.open, arrived);
    if (row && !arrived) scrollBy(0, row.getBoundingClientRect().top - top); // the row stays where it was clicked
    await opening;
    this.mark();
  }

  mark() {
    highlightFound(this.table.body, needles(this.state.q ?? ""));
  }

  tell(shown, share) {
    const status = this.box.querySelector("[role=status]"), all = this.answers.length;
    const searching = share === null ? "" : "searching, " + Math.floor(100 * share) + " % · ";
    const missing = this.state.open && !this.answers.places.has(Number(this.state.open)) ? "There is no question " + visible(this.state.open) + ". " : "";
    const words = missing + (narrows(this.state) ? searching + count(shown) + " of " + count(all) + " questions" : "");
    if (status.textContent !== words) status.textContent = words;
    this.box.querySelector(".clear").hidden = !narrows(this.state);
    this.box.ariaBusy = String(share !== null);
  }

  turn(by) {
    const pages = Math.ceil(this.places.length / PAGE_ROWS), page = this.page + by;
    if (page < 1 || page > pages) return false;
    this.go({ ...this.state, page: page === 1 ? "" : String(page), open: "" });
    this.table.reveal(this.table.table, true);
    return true;
  }

  nextSort(by) {
    const { sort } = this.state;
    return sort === by ? "-" + by : sort === "-" + by ? "" : by;
  }

  // What was typed last may still wait for its turn, so the search is read with every other field.
  fromForm(field) {
    return { ...this.state, q: this.form.q.value.trim(), [field.name]: field.value.trim(), page: "", open: "" };
  }

  toForm() {
    for (const field of this.form.elements) {
      if (!field.name || field === document.activeElement && field.type === "search") continue;
      const value = this.state[field.name] ?? "";
      if (field.type === "radio") field.checked = field.value === value;
      else if (field.value !== value) field.value = value;
    }
    const { flip, q, page, open, ...others } = this.state;
    if (Object.values(others).some(Boolean)) this.form.querySelector(".filters").open = true;
  }

  async export() {
    const button = this.box.querySelector(".csv"), words = button.textContent;
    button.ariaBusy = "true";
    const pieces = await csvOf(this.answers, this.texts, this.places, (share) => { button.textContent = Math.floor(100 * share) + " %"; });
    save(document.title.replace(/[^\w.-]+/g, "-").replace(/^-|-$/g, "") + ".csv", pieces, "text/csv;charset=utf-8");
    button.ariaBusy = "false";
    button.textContent = words;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.key === "Escape") return this.escape(event);
    if (event.target === this.form.q && ["Enter", "ArrowDown"].includes(event.key)) return this.toFirst(event);
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    const inside = this.table.focused() !== null;
    const moves = { j: 1, k: -1, ...(inside ? { ArrowDown: 1, ArrowUp: -1 } : {}) };
    if (event.key === "/") this.form.q.focus();
    else if (event.key === "?") this.help(!this.box.querySelector(".help").open);
    else if (moves[event.key]) this.step(moves[event.key]);
    else return;
    event.preventDefault();
  }

  step(by) {
    if (!this.table.move(by) && this.turn(by)) this.table.focus(by > 0 ? this.table.first() : this.table.last());
  }

  // From the search to what it found, once it has.
  async toFirst(event) {
    event.preventDefault();
    await this.go(this.fromForm(this.form.q), true);
    this.table.focus(this.table.first());
  }

  // The keys, over the page where the reader is.
  help(open) {
    const help = this.box.querySelector(".help");
    help.open = open;
    help.classList.toggle("floating", open);
  }

  escape(event) {
    if (this.box.querySelector(".help.floating")) return this.help(false);
    if (event.target === this.form.q && !this.form.q.value) return this.form.q.blur();
    if (!this.state.open || event.target.closest("input, select")) return;
    const number = this.state.open;
    this.go({ ...this.state, open: "" });
    this.table.focus(number);
  }
}

// Whether all of the address is about the table.
function speaksOfTable() {
  const keys = addressPairs().map(([key]) => key);
  return /^#q\d+$/.test(location.hash) || (keys.length > 0 && keys.every((key) => QUERY.includes(key)));
}

// Where anything fails the static questions take the place of the table again.
async function startQuestions() {
  const box = document.getElementById("questions-app"), still = document.getElementById("questions-static");
  if (!box) return;
  try {
    const index = await unpack("questions-index");
    useTextRules(index.text_rules);
    const questions = new Questions(box, index);
    await questions.show(readState(location.hash) ?? {}, true);
    box.hidden = false;
    still.remove();
    const opened = questions.table.rows.get(questions.state.open);
    if (opened) questions.table.reveal(opened, true);
    else if (speaksOfTable()) document.getElementById("questions").scrollIntoView();
    else if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
    document.documentElement.dataset.questions = "ready";
    performance.mark("questions");
  } catch (error) {
    document.documentElement.classList.remove("js");
    throw error;
  }
}
startQuestions();
