// Words that only one of two texts has: Myers 1986, "An O(ND) difference algorithm and its variations".
const DIFF_WORDS = 6000, DIFF_STEPS = 1500, DIFF_ALIKE = 0.25;

// Two lists of [start, end] in the texts; null where they are the same, too long, or so unlike that marks say nothing.
function differences(first, second) {
  if (first === second || Math.max(first.length, second.length) > textRules.fold) return null;
  const a = Array.from(first.matchAll(/[\p{L}\p{N}_]+|[^\s]/gu)), b = Array.from(second.matchAll(/[\p{L}\p{N}_]+|[^\s]/gu));
  if (a.length + b.length > DIFF_WORDS) return null;
  const kept = common(a.map(String), b.map(String));
  if (!kept || kept.length < DIFF_ALIKE * Math.max(a.length, b.length)) return null;
  return [gaps(a, kept.map(([place]) => place)), gaps(b, kept.map(([, place]) => place))];
}

// Pairs of places of a longest common subsequence; null beyond DIFF_STEPS differences.
function common(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let trim = 0;
  while (trim < a.length - start && trim < b.length - start && a[a.length - 1 - trim] === b[b.length - 1 - trim]) trim++;
  const n = a.length - start - trim, m = b.length - start - trim;
  const most = Math.min(n + m, DIFF_STEPS), offset = most + 1;
  const reach = new Int32Array(2 * most + 3), trail = [];
  let steps = -1;
  search: for (let d = 0; d <= most; d++) {
    trail.push(reach.slice(offset - d - 1, offset + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && reach[offset + k - 1] < reach[offset + k + 1]);
      let x = down ? reach[offset + k + 1] : reach[offset + k - 1] + 1, y = x - k;
      while (x < n && y < m && a[start + x] === b[start + y]) { x++; y++; }
      reach[offset + k] = x;
      if (x >= n && y >= m) { steps = d; break search; }
    }
  }
  if (steps < 0) return null;
  const middle = [];
  let x = n, y = m;
  for (let d = steps; d >= 0; d--) {
    const before = trail[d], at = (k) => before[k + d + 1], k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const from = d === 0 ? 0 : down ? at(k + 1) : at(k - 1), fromY = d === 0 ? 0 : from - (down ? k + 1 : k - 1);
    while (x > from + (d && !down ? 1 : 0) && y > fromY + (d && down ? 1 : 0)) middle.push([start + --x, start + --y]);
    x = from; y = fromY;
  }
  const pairs = [];
  for (let place = 0; place < start; place++) pairs.push([place, place]);
  pairs.push(...middle.reverse());
  for (let left = trim; left > 0; left--) pairs.push([a.length - left, b.length - left]);
  return pairs;
}

// Stretches of words that were not kept, from the first letter to the last.
function gaps(words, kept) {
  const spans = [];
  let at = 0;
  for (const place of [...kept, words.length]) {
    if (at < place) {
      const last = words[place - 1];
      spans.push([words[at].index, last.index + last[0].length]);
    }
    at = place + 1;
  }
  return spans;
}
