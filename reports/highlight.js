// What a search found, marked where it stands. Highlights are ranges: the page's markup stays as it is, and a browser
// without them shows the same page unmarked.
const FOUND_AT_ONCE = 2000;

function highlightFound(box, words) {
  if (!("highlights" in CSS)) return;
  CSS.highlights.delete("found");
  if (!words.length) return;
  const ranges = [];
  const walk = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node && ranges.length < FOUND_AT_ONCE; node = walk.nextNode()) {
    if (!node.parentElement.closest(".asked, .text, .truth, .meta b")) continue;
    const text = node.data.toLowerCase();
    if (text.length !== node.data.length) continue; // a letter that grows in lower case would shift every place
    for (const word of words) {
      for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}
