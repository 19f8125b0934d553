// A click on a column's head sorts by it; a second one turns the order round. Without this script the newest come first.
for (const table of document.querySelectorAll("table.runs")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const atFirst = [...body.rows];
  const value = (row, place) => {
    const cell = row.cells[place];
    return cell.dataset.sort ?? cell.textContent.trim();
  };
  const order = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const difference = Number(a) - Number(b);
    return Number.isNaN(difference) ? (a < b ? -1 : a > b ? 1 : 0) : difference;
  };
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      if (place === 0 && down) return body.append(...atFirst);
      // What stands between runs by date has no place in another order.
      const rows = atFirst.filter((row) => !row.classList.contains("break"));
      const known = rows.filter((row) => value(row, place) !== ""), rest = rows.filter((row) => value(row, place) === "");
      known.sort((a, b) => (down ? -1 : 1) * order(value(a, place), value(b, place)));
      body.replaceChildren(...known, ...rest);
    });
  });
}
