// The value that reports/pack.py put into <script type="application/x-packed" id="...">, kept once it was read.
const unpacked = new Map();
function unpack(id) {
  if (!unpacked.has(id)) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    unpacked.set(id, new Response(stream).json());
  }
  return unpacked.get(id);
}
