// A group of completions as a card. Texts come with their invisible characters already made visible (harness/report/groups.py)
// and enter the page as text nodes alone.
const known = (values) => values.filter((value) => value !== null);
const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);

function deviation(values) {
  if (values.length < 2) return values.length ? 0 : null;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

// Whether the rewards of a group differ, so that it carries a signal.
function differ(group) {
  const values = known(group.totals);
  return values.length > 0 && Math.max(...values) - Math.min(...values) > 1e-8;
}

function signed(value) {
  if (value === null) return "\u2013";
  return (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(2);
}

function told(tag, text, name) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
}

// `link` is the words of the button that calls `follow`, if there is one. The shapes are an empty group and sample.
function groupCard(index, [groupShape, sampleShape], group, title, link, follow) {
  const card = groupShape.cloneNode(true);
  const values = known(group.totals);
  card.querySelector("h5").textContent = title;
  card.querySelector(".truth-of").textContent = index.questions[group.question][2];
  card.querySelector(".mean").textContent = plain(mean(values));
  card.querySelector(".std").textContent = plain(deviation(values));
  if (differ(group)) card.querySelector(".no-signal").remove();
  const button = card.querySelector(".over");
  if (link) button.textContent = link;
  else button.remove();
  button.addEventListener("click", follow);
  card.querySelector(".completions").firstElementChild.textContent = group.totals.length + " completions";
  card.querySelector(".samples").append(...group.totals.map((_, row) => sampleCard(index, sampleShape, group, row)));
  return card;
}

function sampleCard(index, shape, group, row) {
  const card = shape.cloneNode(true);
  const graded = index.marks[group.statuses[row]];
  if (graded) {
    const said = told("b", " " + graded[2], graded[0]);
    said.prepend(told("span", graded[1], "mark"));
    said.firstChild.ariaHidden = "true";
    card.querySelector(".graded").append(said);
  }
  card.querySelector(".advantage").textContent = signed(group.advantages[row]);
  drawBar(card.querySelector(".advantage-bar"), group.advantages[row], index.reach);
  card.querySelector(".total").textContent = plain(group.totals[row]);
  if (index.functions.length > 1) {
    const by = index.functions.map((name, place) => name + "\u00a0" + plain(group.rewards[row][place]));
    card.querySelector(".by").textContent = by.join(", ");
  }
  const tokens = group.tokens[row];
  if (tokens !== null) card.querySelector(".tokens").textContent = count(tokens) + "\u00a0tokens";
  if (!group.cut[row]) card.querySelector(".cut").remove();
  fillText(card.querySelector(".text"), group.texts[row]);
  return card;
}

function drawBar(svg, advantage, reach) {
  if (!advantage || !reach) return;
  const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const width = (50 * Math.abs(advantage)) / reach;
  const place = { class: advantage > 0 ? "up" : "down", x: advantage > 0 ? 0 : -width, width, y: 0, height: 10 };
  for (const [name, value] of Object.entries(place)) bar.setAttribute(name, value);
  svg.prepend(bar);
}

function fillText(element, text) {
  if (Array.isArray(text)) {
    const note = "\u2026 " + text[1].toLocaleString("en") + " characters left out here: train/completions.jsonl has them all \u2026";
    element.append(text[0], told("span", note, "fold"), text[2]);
    element.tabIndex = 0;
  } else if (text) {
    element.textContent = text;
    // What scrolls can be scrolled by keyboard: by rule of thumb, since nothing is laid out yet.
    if (text.length > 300 || text.split("\n").length > 9) element.tabIndex = 0;
  } else {
    element.append(told("span", "(empty)", "soft"));
  }
}
