"use strict";
// The value that harness/report/pack.py put into <script type="application/x-packed" id="...">.
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

// Codes of frequent words back to words: harness/report/words.py says how they were made.
function spell(bytes, { single, listed }) {
  const strings = [], places = new Int32Array(256).fill(-1); // a byte's string; the place of a lead byte's first word
  for (let code = 0, place = 0; code < 256; code++) {
    if (code === 1 || code === 2) strings.push(code === 1 ? "\\n" : "\\\\");
    else if (code < 3 || (code >= 0x20 && code < 0x7f)) strings.push(String.fromCharCode(code));
    else if (place < single) strings.push(listed[place++]);
    else { strings.push(""); places[code] = single + 256 * (place++ - single); }
  }
  let text = "";
  for (let at = 0; at < bytes.length; at++) {
    const code = bytes[at];
    text += places[code] < 0 ? strings[code] : listed[places[code] + bytes[++at]];
  }
  return text;
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
