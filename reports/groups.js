// Groups of completions by step, and one question over the steps: which are shown, and the ways between them.
(() => {
  "use strict";
  const AT_ONCE = 24; // groups drawn before a reader asks for more
  const FOUND = 12; // questions listed for a search

  const readHash = (key) => addressPairs().find(([name]) => name === key)?.[1] ?? null;
  const writeHash = (values) => history.replaceState(null, "", addressWith(["step", "over", "signal"], values));

  const begin = async (box, owner) => {
    const prefix = box.dataset.groups;
    const form = box.querySelector(".picker");
    const now = box.querySelector(".now");
    const area = box.querySelector(".shown-groups");
    const rest = box.querySelector(".rest");
    const matches = box.querySelector(".matches");
    const chips = Array.from(form.querySelectorAll("input[type=radio]"));
    const shapes = ["group", "sample"].map((name) => document.getElementById(prefix + name).content.firstElementChild);
    const index = await unpack(prefix + "index");
    const places = new Map(index.steps.map(([step], place) => [step, place]));
    const asked = new Map(index.questions.map(([id], question) => [id, question]));
    const seen = index.questions.map(() => 0); // in how many steps a question was asked
    for (const [, , , questions] of index.steps) for (const question of new Set(questions)) seen[question] += 1;
    let at = 0; // the place of the step that is shown
    let over = null; // the question whose steps are shown
    let drawing = 0; // a later choice makes an earlier one, still unpacking, void
    let listed = []; // [step, group] of what is shown, before the filter
    let searching = 0;

    const groupsAt = async (place) => {
      const [, block, row] = index.steps[place];
      return (await unpack(prefix + block))[row];
    };

    const drawGroup = (step, group) => {
      const times = seen[group.question];
      const [title, link, follow] =
        over === null
          ? [index.questions[group.question][1], times > 1 && "this question in " + times + " steps", () => showQuestion(group.question)]
          : ["Step " + step, "all groups of step " + step, () => showStep(places.get(step))];
      const card = groupCard(index, shapes, group, title, link, follow);
      // A phone folds all but one.
      card.querySelector(".completions").open = area.children.length === 0 || !matchMedia("(max-width: 46rem)").matches;
      return card;
    };

    const chosen = () => chips.find((chip) => chip.checked).value;
    // The place of the nearest step in a direction that has a group of the chosen kind; -1 where there is none.
    const nextFrom = (from, by) => {
      for (let place = from; place >= 0 && place < index.steps.length; place += by) {
        const [, , , questions, signal] = index.steps[place];
        if (!chosen() || (chosen() === "yes" ? signal : questions.length - signal) > 0) return place;
      }
      return -1;
    };
    const ends = () => {
      const [back, on] = [nextFrom(at - 1, -1) < 0, nextFrom(at + 1, 1) < 0];
      // Still focusable, so that a keyboard reader who reaches the end is not thrown back to the top of the page.
      const of = { first: back, back, on, last: on };
      for (const button of form.querySelectorAll("[data-go]")) button.setAttribute("aria-disabled", of[button.dataset.go]);
    };
    const state = (step, over_) => ({ step, over: over_, signal: chosen() || null });
    const wanted = () => {
      const signal = chosen();
      return listed.filter(([, group]) => !signal || differ(group) === (signal === "yes"));
    };
    const drawMore = () => {
      const all = wanted();
      const from = area.children.length;
      for (const [step, group] of all.slice(from, from + AT_ONCE)) area.append(drawGroup(step, group));
      const left = all.length - area.children.length;
      rest.hidden = left === 0;
      rest.firstElementChild.textContent = "Show " + Math.min(left, AT_ONCE) + " more of " + all.length;
    };
    const redraw = () => {
      const with_ = listed.filter(([, group]) => differ(group)).length;
      const counts = { "": listed.length, yes: with_, no: listed.length - with_ };
      for (const chip of chips) chip.nextElementSibling.querySelector("i").textContent = counts[chip.value];
      area.replaceChildren();
      drawMore();
      if (!area.children.length) area.append(told("p", over === null ? "No such group at this step; the arrows go to the next step that has one." : "No such group here.", "soft"));
    };

    const showStep = async (place, keep) => {
      const mine = ++drawing;
      at = Math.max(0, Math.min(index.steps.length - 1, place));
      const step = index.steps[at][0];
      const groups = await groupsAt(at);
      if (mine !== drawing) return;
      over = null;
      listed = groups.map((group) => [step, group]);
      form.step.value = step;
      ends();
      const rewards = known(groups.flatMap((group) => group.totals));
      const signal = groups.filter(differ).length;
      now.textContent =
        "Step " + step + ": " + groups.length + (groups.length === 1 ? " group" : " groups") + ", mean reward " +
        plain(mean(rewards)) + ", " + signal + " with signal";
      redraw();
      if (!keep && owner) writeHash(state(String(step), null));
    };

    const showQuestion = async (question, keep) => {
      const mine = ++drawing;
      const where = index.steps.map(([, , , questions], place) => [questions, place]).filter(([questions]) => questions.includes(question));
      const found = await Promise.all(
        where.map(async ([, place]) =>
          (await groupsAt(place)).filter((group) => group.question === question).map((group) => [index.steps[place][0], group])
        )
      );
      if (mine !== drawing) return;
      over = question;
      listed = found.flat();
      form.step.value = ""; // not one step: all that asked it
      const [id, text] = index.questions[question];
      const back = told("button", "Back to step " + index.steps[at][0]);
      back.type = "button";
      back.addEventListener("click", () => {
        showStep(at);
        form.step.focus();
      });
      const path = listed.map(([step, group]) => "step " + step + ": " + plain(mean(known(group.totals))));
      const said = path.length > 8 ? [...path.slice(0, 4), "\u2026", ...path.slice(-3)] : path;
      now.replaceChildren(
        told("b", text, "asked-over"),
        told("span", "Mean reward over its " + listed.length + (listed.length === 1 ? " step" : " steps") + ". " + said.join(", ") + " "),
        back
      );
      redraw();
      if (!keep && owner) writeHash(state(null, id));
    };

    const search = () => {
      const words = needles(form.question.value);
      matches.replaceChildren();
      matches.hidden = !words.length;
      if (!words.length) return;
      let met = 0;
      index.questions.forEach(([id, text], question) => {
        const all = text.toLowerCase();
        if (!words.every((word) => all.includes(word) || beginsId(id.toLowerCase(), word)) || ++met > FOUND) return;
        const item = document.createElement("li");
        const button = told("button", text || id);
        button.type = "button";
        button.addEventListener("click", () => {
          form.question.value = "";
          search();
          showQuestion(question);
          now.scrollIntoView({ block: "nearest" });
        });
        item.append(button);
        matches.append(item);
      });
      if (met > FOUND) matches.append(told("li", met - FOUND + " more: type more words", "soft"));
      if (!met) matches.append(told("li", "No training question has these words.", "soft"));
    };

    const moves = {
      first: () => nextFrom(0, 1), back: () => nextFrom(at - 1, -1),
      on: () => nextFrom(at + 1, 1), last: () => nextFrom(index.steps.length - 1, -1),
    };
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("click", (event) => {
      const button = event.target.closest("[data-go]");
      if (button && button.getAttribute("aria-disabled") !== "true") showStep(moves[button.dataset.go]());
    });
    form.step.addEventListener("change", () => {
      // The nearest step that was sampled and is in the page.
      const asked_ = Number(form.step.value);
      let nearest = 0;
      index.steps.forEach(([step], place) => {
        if (Math.abs(step - asked_) < Math.abs(index.steps[nearest][0] - asked_)) nearest = place;
      });
      showStep(nearest);
    });
    for (const chip of chips) chip.addEventListener("change", () => {
      ends();
      redraw();
      if (owner) writeHash(over === null ? state(String(index.steps[at][0]), null) : state(null, index.questions[over][0]));
    });
    form.question.addEventListener("input", () => {
      clearTimeout(searching);
      searching = setTimeout(search, 80);
    });
    form.question.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      clearTimeout(searching);
      search();
      matches.querySelector("button")?.click();
    });
    rest.firstElementChild.addEventListener("click", () => {
      const next = area.children.length;
      drawMore();
      area.children[next]?.querySelector("button")?.focus();
    });
    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || over !== null) return;
      if (event.target.closest("input, .text")) return;
      const place = { ArrowLeft: moves.back, ArrowRight: moves.on }[event.key]?.() ?? -1;
      if (place >= 0) showStep(place);
    });

    const follow = async () => {
      const kind = readHash("signal");
      const chip = chips.find(({ value }) => value === kind) ?? chips[0];
      if (!chip.checked && (kind !== null || readHash("step") !== null)) {
        chip.checked = true;
        if (listed.length) { ends(); redraw(); }
      }
      const question = asked.get(readHash("over") ?? undefined);
      const place = places.get(Number(readHash("step") ?? NaN));
      if (question !== undefined) {
        if (question !== over) await showQuestion(question, true);
      } else if (place !== undefined) {
        if (over !== null || place !== at || !listed.length) await showStep(place, true);
      } else {
        return false;
      }
      return true;
    };
    if (owner) addEventListener("hashchange", follow);
    if (!(owner && (await follow()))) await showStep(0, true);
  };

  document.querySelectorAll(".browse").forEach((box, which) => {
    const section = box.closest(".groups");
    const owner = which === 0; // of several runs on one page the first one has the hash
    box.hidden = false;
    section.querySelector(".plain-groups").hidden = true;
    const linked = () => owner && ["step", "over", "signal"].some((key) => readHash(key) !== null);
    let started = false;
    const start = async () => {
      if (started) return;
      started = true;
      watch.disconnect();
      await begin(box, owner);
    };
    const arrive = async () => {
      if (!linked() || started) return;
      await start();
      section.scrollIntoView();
    };
    // Nothing is unpacked before a reader comes near.
    const watch = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && start(), { rootMargin: "600px" });
    watch.observe(box);
    addEventListener("hashchange", arrive);
    arrive();
  });
})();
