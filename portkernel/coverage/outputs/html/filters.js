// What is shown: the filters, the address that keeps them, and the counts that follow from them.
const SETS = ["state", "change", "backend", "device", "dtype", "op"];
const filter = { q: "", by: "device", empty: false, cell: "", all: false };
for (const name of SETS) filter[name] = new Set();
const open = new Set(); // groups whose variants are shown

const OPTIONS = {
  state: STATES, change: CHANGES, backend: BACKENDS, device: places.map((p) => p.id), dtype: DTYPES,
  op: unique(groups.map((g) => g.name)),
};

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  filter.q = given.get("q") || "";
  filter.by = given.get("by") === "dtype" ? "dtype" : "device";
  filter.empty = given.get("columns") === "all";
  filter.all = given.get("variants") === "all";
  filter.cell = given.get("cell") || "";
  for (const name of SETS) {
    const values = (given.get(name) || "").split(",").filter((v) => OPTIONS[name].includes(v));
    filter[name] = new Set(values);
  }
}

function writeAddress() {
  const parts = [];
  const add = (name, value) => value && parts.push(`${name}=${encodeURIComponent(value).replace(/%2C/g, ",").replace(/%2F/g, "/")}`);
  add("q", filter.q);
  for (const name of SETS) add(name, [...filter[name]].join(","));
  add("by", filter.by === "dtype" ? "dtype" : "");
  add("columns", filter.empty ? "all" : "");
  add("variants", filter.all ? "all" : "");
  add("cell", filter.cell);
  const address = "#" + parts.join("&");
  if (address !== (location.hash || "#")) history.replaceState(null, "", address);
}

const isFiltered = () => filter.q !== "" || SETS.some((name) => filter[name].size);
const chosen = (name, value) => !filter[name].size || filter[name].has(value);

// Whether a cell is of the states and changes asked for.
const passes = (at) =>
  (!filter.state.size || filter.state.has(STATES[code[at]])) &&
  (!filter.change.size || (changed.has(at) && filter.change.has(changed.get(at).kind)));

function searched(group) {
  const wanted = filter.q.toLowerCase().split(/[\s,]+/).filter(Boolean);
  if (!wanted.length) return group.rows;
  return group.rows.filter((r) => wanted.every((word) => words[r].includes(word)));
}

// Everything that the filters leave: leaves, groups with their rows, and counts.
function select() {
  const reachable = leaves.filter((leaf) => leaf.tried || filter.empty);
  const shown = reachable.filter((leaf) =>
    chosen("backend", leaf.place.backend) && chosen("device", leaf.place.id) && chosen("dtype", leaf.dtype));
  const counts = new Array(STATES.length).fill(0);
  const changes = Object.fromEntries(CHANGES.map((kind) => [kind, 0]));
  const views = [];
  const matched = [];
  let cells = 0;
  for (const group of groups) {
    if (!chosen("op", group.name)) continue;
    const rows = searched(group);
    if (!rows.length) continue;
    const kept = [];
    for (const r of rows) {
      let has = false;
      for (const leaf of shown) {
        const at = r * WIDTH + leaf.index;
        if (code[at] === NONE) continue;
        counts[code[at]] += 1;
        if (changed.has(at)) changes[changed.get(at).kind] += 1;
        if (passes(at)) {
          has = true;
          cells += 1;
        }
      }
      if (has) kept.push(r);
    }
    matched.push({ group, rows });
    if (kept.length) views.push({ group, rows: kept });
  }
  return { reachable, leaves: shown, views, matched, counts, changes, cells };
}

// Operators that count: on the places shown each cell tried is covered, refusals in words aside, and one at least is.
// A text that was only emitted counts where nothing can run (a static report), and takes away on a place alone.
function covered(found) {
  const alone = unique(found.leaves.map((leaf) => leaf.place.id)).length === 1;
  const good = new Set();
  const bad = new Set();
  const tried = new Set();
  for (const { group, rows } of found.matched) {
    if (!group.isOperator) continue;
    for (const r of rows) {
      for (const leaf of found.leaves) {
        const state = code[r * WIDTH + leaf.index];
        if (state === NONE || state === UNTESTED) continue;
        tried.add(group.name);
        if (COVERED.has(state) || (state === EMITTED && isStatic)) good.add(group.name);
        else if (state !== REFUSED && (state !== EMITTED || alone)) bad.add(group.name);
      }
    }
  }
  for (const name of bad) good.delete(name);
  return { good, tried };
}

function shareCard(title, numerator, denominator, text, note) {
  const percent = denominator ? (100 * numerator) / denominator : 0;
  return `<div class="card"><h2>${esc(title)}</h2><p class="big"><b>${count(numerator)}</b> of ${count(denominator)}` +
    `<span>${percent.toFixed(1)} %</span></p><div class="meter" aria-hidden="true"><i style="width:${percent}%"></i></div>` +
    `<p class="text">${esc(text)}</p>${note ? `<p class="aside">${esc(note)}</p>` : ""}</div>`;
}

function ourShare(found, good, tried) {
  const all = new Set(groups.filter((g) => g.isOperator).map((g) => g.name)).size;
  const asked = found.matched.filter((m) => m.group.isOperator).length;
  const verb = isStatic
    ? "have a text that respects the profile, in each cell shown that is not refused: emitted or compiled, not executed"
    : "are covered in every cell shown that was tried";
  const of = asked === all ? `Of ${times(all, "operator")} of ours` : `Of the ${count(asked)} that match, of ${times(all, "operator")} of ours`;
  const rest = asked - tried;
  return shareCard("Operators of portkernel", good.size, asked, `${of}: ${count(good.size)} ${verb}${rest ? `; ${count(rest)} untested` : ""}.`);
}

function drawShares(found) {
  const { good, tried } = covered(found);
  const cards = [ourShare(found, good, tried.size)];
  const whole = (of) => doc.percentages.find((p) => p.of === of && !p.column);
  const aten = whole("aten-core");
  if (aten) {
    const served = new Set(doc.rows.filter((row) => row.kind === "operator" && good.has(row.name)).flatMap((row) => row.aten));
    cards.push(shareCard("Core ATen", served.size, aten.denominator,
      `Of ${count(aten.denominator)} overloads of PyTorch's core ATen set: ${count(served.size)} are computed by such operators.`));
  }
  const onnx = whole("onnx");
  if (onnx) {
    cards.push(shareCard("ONNX", onnx.numerator, onnx.denominator,
      `Of ${count(onnx.denominator)} operators of ONNX: ${count(onnx.numerator)} are implemented by the ONNX backend with operators of ours.`,
      isFiltered() ? "Of the whole report: it does not follow the filters." : ""));
  }
  cards.push(cellsCard(found));
  byId("shares").innerHTML = cards.join("");
}

function cellsCard(found) {
  const total = found.counts.reduce((a, b) => a + b, 0);
  const tried = total - found.counts[UNTESTED];
  const bar = STATES.map((s, i) => (i !== UNTESTED && found.counts[i] ? `<i class="s-${s}" style="flex-grow:${found.counts[i]}"></i>` : "")).join("");
  const said = STATES.filter((s, i) => i !== UNTESTED && found.counts[i]).map((s) => `${count(found.counts[STATES.indexOf(s)])} ${s}`).join(", ");
  return `<div class="card"><h2>Cells ${isStatic ? "judged" : "tried"}</h2><p class="big"><b>${count(tried)}</b> of ${count(total)}</p>` +
    `<div class="bar" aria-hidden="true">${bar}</div><p class="text">Of ${times(total, "cell")} shown: ${said ? said + ", " : ""}${count(found.counts[UNTESTED])} untested.</p></div>`;
}

function chip(set, value, label, more) {
  const { title = "", before = "", n = null } = more || {};
  const on = filter[set].has(value);
  return `<button type="button" class="chip${n === 0 ? " none" : ""}" data-set="${set}" data-value="${esc(value)}" aria-pressed="${on}"${title ? ` title="${esc(title)}"` : ""}>` +
    `${before}<span>${esc(label)}</span>${n === null ? "" : `<b>${count(n)}</b>`}</button>`;
}

function drawChips(found) {
  const present = STATES.filter((s, i) => found.counts[i] || doc.totals[s] || filter.state.has(s));
  fill("state", present.map((s) => chip("state", s, s, {
    title: doc.states[s], before: `<i class="cell s-${s}" aria-hidden="true">${LETTER[s]}</i>`, n: found.counts[STATES.indexOf(s)],
  })));
  if (doc.comparison) {
    fill("change", CHANGES.filter((k) => k !== "gone").map((k) => chip("change", k, k, {
      before: `<span class="mark ${k}" aria-hidden="true"></span>`, n: found.changes[k],
    })));
  }
  const has = (test) => found.reachable.some(test);
  fill("backend", BACKENDS.filter((b) => has((l) => l.place.backend === b)).map((b) => chip("backend", b, b)));
  fill("device", places.filter((p) => has((l) => l.place === p)).map((p) => chip("device", p.id, p.title, {
    title: [p.id, KIND[p.kind], p.name].filter(Boolean).join(": "),
  })));
  fill("dtype", DTYPES.filter((d) => has((l) => l.dtype === d)).map((d) => chip("dtype", d, d)));
  byId("operators").querySelector("summary b").textContent = filter.op.size ? String(filter.op.size) : "";
  byId("clear").hidden = !isFiltered();
}

// Draws a set of chips anew without taking the focus from the one that was pressed.
function fill(id, html) {
  const row = byId(id).querySelector(".row");
  const held = row.contains(document.activeElement) ? document.activeElement.dataset.value : null;
  row.innerHTML = html.join("");
  byId(id).hidden = html.length < 2;
  if (held !== null) [...row.children].find((c) => c.dataset.value === held)?.focus();
}

function drawStatus(found) {
  const all = unique(groups.filter((g) => g.isOperator).map((g) => g.name)).length;
  const shown = found.views.filter((v) => v.group.isOperator).length;
  const kernels = found.views.length - shown;
  const more = kernels ? ` and ${times(kernels, "kernel")} that no operator reaches` : "";
  byId("status").textContent = `Showing ${count(shown)} of ${count(all)} operators of ours${more}: ${times(found.cells, "cell")}, ` +
    `${times(found.leaves.length, "column")} on ${times(unique(found.leaves.map((l) => l.place.id)).length, "place")}.`;
}
