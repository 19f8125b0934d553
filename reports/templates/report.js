"use strict";
// Search and filters over rows that are already in the page; without this script all of them are simply there.
document.documentElement.classList.add("js");
for (const box of document.querySelectorAll(".questions")) {
  const form = box.querySelector(".tools");
  if (!form) continue;
  const rows = Array.from(box.querySelectorAll("details.q"));
  const facts = rows.map((row) => row.dataset.facts.split("|"));
  const told = box.querySelector(".told");
  const nothing = box.querySelector(".nothing");
  let texts = null; // built at the first search, so that a page nobody searches opens faster
  let waiting = 0;

  const apply = () => {
    const words = form.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length && !texts) texts = rows.map((row) => row.textContent.toLowerCase());
    const flip = form.flip.value, status = form.status.value, finish = form.finish.value;
    let shown = 0;
    rows.forEach((row, index) => {
      const match =
        (!flip || row.dataset.flip === flip) &&
        (!status || facts[index].includes(status)) &&
        (!finish || facts[index].includes(finish)) &&
        words.every((word) => texts[index].includes(word));
      row.hidden = !match;
      shown += match;
    });
    told.textContent = shown === rows.length ? "" : shown + " of " + rows.length;
    nothing.hidden = shown > 0;
  };

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", apply);
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(apply, 80);
  });
  nothing.querySelector("button").addEventListener("click", () => {
    form.reset();
    apply();
    form.search.focus();
  });
}

// A link to a question (#run1-q17) opens it.
const follow = () => {
  const target = document.getElementById(location.hash.slice(1));
  if (!target || !target.matches("details.q")) return;
  target.hidden = false;
  target.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", follow);
follow();

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  const search = document.querySelector(".tools:not([hidden]) input[type=search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
});
