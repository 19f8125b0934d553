"use strict";
// The value that reports/pack.py put into <script type="application/x-packed" id="...">.
const DIGITS = new Uint8Array(128);
Array.from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~").forEach(
  (digit, value) => { DIGITS[digit.charCodeAt(0)] = value; });

function bytesOf(packed) {
  const length = packed.length, whole = Math.ceil(length / 5), bytes = new Uint8Array(whole * 4);
  for (let place = 0, out = 0; place < length; out += 4) {
    let value = 0;
    for (let end = place + 5; place < end; place++) value = value * 85 + (place < length ? DIGITS[packed.charCodeAt(place)] : 84);
    bytes[out] = value >>> 24; bytes[out + 1] = value >>> 16; bytes[out + 2] = value >>> 8; bytes[out + 3] = value;
  }
  return bytes.subarray(0, whole * 4 - (whole * 5 - length));
}

// Codes of frequent words back to words: reports/words.py says how they were made.
const CODES = new Int16Array(256).fill(-1);
for (let code = 3, place = 0; code < 256; code++) if (code < 0x20 || code >= 0x7f) CODES[code] = place++;

function spell(bytes, { single, listed }) {
  const out = [], plain = new TextDecoder("latin1");
  let from = 0;
  for (let at = 0; at < bytes.length; at++) {
    const code = bytes[at];
    let place = CODES[code];
    if (place < 0 && code > 2) continue;
    if (from < at) out.push(plain.decode(bytes.subarray(from, at)));
    if (code === 1) out.push("\\n");
    else if (code === 2) out.push("\\\\");
    else out.push(listed[place < single ? place : single + 256 * (place - single) + bytes[++at]]);
    from = at + 1;
  }
  out.push(plain.decode(bytes.subarray(from)));
  return out.join("");
}

// Read afresh each time: who wants to keep it keeps it.
async function unpackAgain(id) {
  const block = document.getElementById(id);
  const stream = new Blob([bytesOf(block.textContent)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const response = new Response(stream);
  if (!block.dataset.words) return response.json();
  const [buffer, words] = await Promise.all([response.arrayBuffer(), unpack(block.dataset.words)]);
  return JSON.parse(spell(new Uint8Array(buffer), words));
}

const unpacked = new Map();
function unpack(id) {
  if (!unpacked.has(id)) unpacked.set(id, unpackAgain(id));
  return unpacked.get(id);
}
