// The document as arrays that can be walked quickly: places, leaf columns, operators, and the state of every cell.
const byId = (id) => document.getElementById(id);
const doc = JSON.parse(byId("report").textContent);
const LETTER = JSON.parse(byId("letters").textContent);
const STATES = Object.keys(doc.states); // best first, untested last
const UNTESTED = STATES.indexOf("untested");
const NONE = 255; // the operator does not take the dtype
const COVERED = new Set(covering.map((s) => STATES.indexOf(s)));
const EMITTED = STATES.indexOf("emitted");
const REFUSED = STATES.indexOf("unsupported");
const SHORT = {
  float64: "f64", float32: "f32", float16: "f16", bfloat16: "bf16", float8_e4m3fn: "e4m3", float8_e5m2: "e5m2",
  int64: "i64", int32: "i32", int16: "i16", int8: "i8", uint64: "u64", uint32: "u32", uint16: "u16", uint8: "u8", bool: "bool",
};
const KIND = { device: "device", interpreter: "interpreted", compiler: "compiles only", profile: "not executed" };

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const esc = (text) => String(text).replace(/[&<>"']/g, (c) => ESCAPES[c]);
const count = (n) => n.toLocaleString("en");
const times = (n, one, many) => `${count(n)} ${n === 1 ? one : many || one + "s"}`;
const unique = (values) => [...new Set(values)];

function duration(seconds) {
  if (typeof seconds !== "number") return String(seconds);
  const [value, unit] = seconds < 1e-3 ? [seconds * 1e6, "µs"] : seconds < 1 ? [seconds * 1e3, "ms"] : [seconds, "s"];
  return `${value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${unit}`;
}

const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
function quantity(value) {
  if (typeof value !== "number") return value === "inf" ? "∞" : "NaN";
  if (value === 0) return "0";
  if (value >= 0.001 && value < 1e5) return String(Number(value.toPrecision(4)));
  const [digits, power] = value.toExponential(2).split("e");
  return `${digits} × 10${[...power].map((c) => RAISED[c] ?? "").join("")}`;
}

const known = Object.keys(SHORT);
const rank = (dtype) => (known.includes(dtype) ? known.indexOf(dtype) : known.length);
const DTYPES = unique(doc.rows.flatMap((r) => r.dtypes).concat(doc.cells.map((c) => c.dtype)))
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
const BACKENDS = unique(doc.columns.map((c) => c.backend));

// Places stand together by backend; their label is what tells them apart within it, their name what does so alone.
const places = BACKENDS.flatMap((b) => doc.columns.filter((c) => c.backend === b)).map((column) => ({
  ...column,
  label: column.id.slice(column.id.indexOf("/") + 1),
}));
for (const place of places) place.title = places.filter((p) => p.label === place.label).length > 1 ? place.id : place.label;
const leaves = places.flatMap((place) => DTYPES.map((dtype) => ({ place, dtype, tried: false })));
leaves.forEach((leaf, i) => (leaf.index = i));
const leafOf = new Map(leaves.map((leaf) => [`${leaf.place.id}\n${leaf.dtype}`, leaf]));
const rowOf = new Map(doc.rows.map((row, i) => [row.id, i]));

const WIDTH = leaves.length;
const code = new Uint8Array(doc.rows.length * WIDTH).fill(NONE); // state of row × leaf
const where = new Int32Array(doc.rows.length * WIDTH).fill(-1); // index into doc.cells
doc.rows.forEach((row, r) => {
  const taken = new Set(row.dtypes);
  for (const leaf of leaves) if (taken.has(leaf.dtype)) code[r * WIDTH + leaf.index] = UNTESTED;
});
doc.cells.forEach((cell, i) => {
  const leaf = leafOf.get(`${cell.column}\n${cell.dtype}`);
  const row = rowOf.get(cell.row);
  if (leaf === undefined || row === undefined) return;
  code[row * WIDTH + leaf.index] = STATES.indexOf(cell.state);
  where[row * WIDTH + leaf.index] = i;
  if (cell.state !== "untested") leaf.tried = true;
});

// An operator with its variants. A kernel that no operator reaches is a group of its own.
const groups = [];
{
  const found = new Map();
  doc.rows.forEach((row, r) => {
    const key = `${row.kind} ${row.name}`;
    if (!found.has(key)) {
      const group = { key, name: row.name, kind: row.kind, rows: [], index: groups.length };
      found.set(key, group);
      groups.push(group);
    }
    found.get(key).rows.push(r);
  });
  for (const group of groups) group.isOperator = group.kind === "operator";
}
const words = doc.rows.map((row) =>
  [row.id, row.variant, ...row.kernels, ...row.aten].join(" ").toLowerCase());

// What changed since the baseline, by row × leaf.
const CHANGES = ["regressed", "improved", "new", "gone"];
const changed = new Map();
for (const kind of doc.comparison ? CHANGES : []) {
  for (const change of doc.comparison[kind]) {
    const leaf = leafOf.get(`${change.column}\n${change.dtype}`);
    const row = rowOf.get(change.row);
    if (leaf !== undefined && row !== undefined) changed.set(row * WIDTH + leaf.index, { ...change, kind });
  }
}

// The worst state of an operator's variants on a leaf, what was not tried aside; and whether they differ.
function worst(rows, leaf, passes) {
  let found = NONE;
  let first = -1;
  let mixed = false;
  for (const r of rows) {
    const at = r * WIDTH + leaf.index;
    const state = code[at];
    if (state === NONE || !passes(at)) continue;
    if (first < 0) first = state;
    else if (state !== first) mixed = true;
    if (found === NONE || found === UNTESTED || (state !== UNTESTED && state > found)) found = state;
  }
  return { state: found, mixed };
}
