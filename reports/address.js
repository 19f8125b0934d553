// The address's #key=value pairs. The parts of a page share them: each reads and writes its own keys.
function addressPairs() {
  return [...new URLSearchParams(location.hash.slice(1))].filter(([, value]) => value !== "");
}

// The address in which `values` stand in place of all pairs of these `keys`, and the others as they are.
function addressWith(keys, values) {
  const others = addressPairs().filter(([key]) => !keys.includes(key));
  const own = keys.filter((key) => values[key]).map((key) => [key, values[key]]);
  if (!others.length && own.length === 1 && own[0][0] === "open") return "#q" + own[0][1];
  return "#" + new URLSearchParams([...others, ...own]);
}
