// The panel: on what evidence a cell stands.
const panel = byId("panel");
let opener = null;

const stateCell = (state) => `<i class="cell s-${state}" aria-hidden="true">${LETTER[state]}</i>`;
const cellAt = (r, leaf) => {
  const i = where[r * WIDTH + leaf.index];
  return i >= 0 ? doc.cells[i] : { row: doc.rows[r].id, dtype: leaf.dtype, column: leaf.place.id, state: "untested" };
};
const idOf = (r, leaf) => `${doc.rows[r].id}:${leaf.dtype}@${leaf.place.id}`;

function titleOf(line, leaf) {
  const { state, mixed } = worst(line.rows, leaf, passes);
  const name = line.level === 2 ? doc.rows[line.rows[0]].id : line.group.name;
  const said = state === NONE ? "does not take the dtype" : STATES[state] + (mixed ? " at worst; variants differ" : "");
  return `${name} · ${leaf.dtype} · ${leaf.place.id}\n${said}`;
}

function facts(title, pairs) {
  const kept = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  if (!kept.length) return "";
  return `<section><h3>${esc(title)}</h3><dl>${kept.map(([name, value]) => `<div><dt>${esc(name)}</dt><dd>${value}</dd></div>`).join("")}</dl></section>`;
}
const plain = (value) => (value ? esc(value) : "");
const mono = (value) => (value ? `<code>${esc(value)}</code>` : "");
const listed = (values) => (values?.length ? values.map((v) => `<code>${esc(v)}</code>`).join(" ") : "");

function stateWords(cell) {
  if (cell.state === "degraded") return `degraded (${cell.declared} → ${cell.executed})`;
  if (cell.state === "fallback" && cell.to) return `fallback (to ${cell.to})`;
  return cell.state;
}

function errorFacts(cell) {
  const e = cell.errors;
  if (!e) return "";
  const exact = e.of_bound === 0;
  const part = typeof e.of_bound === "number" ? Math.min(100, 100 * e.of_bound) : 100;
  const gauge = `<div class="gauge${e.of_bound > 1 || typeof e.of_bound === "string" ? " beyond" : ""}"><i style="width:${part}%"></i></div>`;
  return facts("Largest errors", [
    ["of the bound", exact ? "exact" : `${gauge}<b>${quantity(e.of_bound)}</b> times the bound (at most 1 passes)`],
    ["absolute", quantity(e.absolute)],
    ["relative", quantity(e.relative)],
    ["ULP", `${quantity(e.ulp)} <span class="aside">of the output's dtype</span>`],
    ["bound", `${quantity(e.bound)} <span class="aside">absolute, where it was closest</span>`],
    ["cases", `${count(e.cases)}${e.case ? ` <span class="aside">closest to its bound: ${esc(e.case)}</span>` : ""}`],
  ]);
}

function ratioWords(cell) {
  if (typeof cell.ratio !== "number") return "";
  const faster = cell.ratio < 1 ? `, ${quantity(Number((1 / cell.ratio).toPrecision(3)))} times as fast` : "";
  return `<b>${quantity(cell.ratio)}</b> times the time of ${esc(cell.peer)}${faster}`;
}

function changeFacts(r, leaf) {
  const change = changed.get(r * WIDTH + leaf.index);
  if (!change) return "";
  return facts("Since the baseline", [[change.kind, `<span class="mark ${change.kind}"></span> ${esc(change.before || "not there")} → ${esc(change.after || "not there")}`]]);
}

function probeFacts(leaf) {
  const found = doc.probes.filter((p) => p.column === leaf.place.id && p.declared === leaf.dtype);
  return facts("Precision probes", found.map((p) => [
    `${p.cache} cache`,
    `${esc(p.probe)}: ${p.degraded ? `<b class="bad">executed as ${esc(p.executed)}</b>` : p.executed ? "as declared" : plain(p.reason)}`,
  ]));
}

function evidence(r, leaf) {
  const row = doc.rows[r];
  const cell = cellAt(r, leaf);
  const made = doc.made;
  const place = leaf.place;
  const reason = cell.reason || (cell.state === "untested" ? "left out of the run, or not reached in its time" : "");
  const launches = Object.entries(cell.launches || {}).map(([name, n]) => `<code>${esc(name)}</code> × ${n}`).join(", ");
  return `<div class="verdict">${stateCell(cell.state)}<div><b>${esc(stateWords(cell))}</b><p>${esc(doc.states[cell.state])}</p></div></div>` +
    (cell.how ? `<p class="how"><b>How</b> ${esc(cell.how)}</p>` : "") +
    (reason ? `<p class="reason"><b>Reason</b> ${esc(reason)}</p>` : "") +
    changeFacts(r, leaf) + errorFacts(cell) +
    facts("Time", [
      ["ours", cell.seconds === undefined ? "" : duration(cell.seconds)],
      [cell.peer || "peer", cell.peer_seconds === undefined ? "" : duration(cell.peer_seconds)],
      ["ratio", ratioWords(cell)],
    ]) +
    facts(cell.state === "emitted" || cell.state === "compiled" ? "Kernels of the call" : "Launches counted", [
      ["kernels", launches],
      ["route", mono(cell.route)],
    ]) +
    facts("Test", [
      ["id", cell.test ? `<code>${esc(cell.test)}</code>` : ""],
      ["again", cell.test && !isStatic ? `<code class="command">portkernel coverage --cell '${esc(cell.test)}'</code><button type="button" class="quiet" data-copy>Copy</button>` : ""],
      ["date", plain(cell.date?.replace("T", " ").replace("Z", " UTC"))],
      ["took", cell.took === undefined ? "" : `${duration(cell.took)} <span class="aside">compilation included</span>`],
    ]) +
    probeFacts(leaf) +
    facts("Place", [
      ["device", plain(place.name)], ["kind", KIND[place.kind]], ["backend", plain(place.backend)], ["driver", plain(place.driver)],
      ["compiler", plain(place.compiler)], ["target", plain(place.target)], ["architecture", plain(place.arch)],
    ]) +
    facts("Operator", [
      ["follows", mono(row.follows)], ["kernels", listed(row.kernels)], ["core ATen", listed(row.aten)],
    ]) +
    facts("Run", [
      ["machine", isStatic ? "" : plain(made.machine)], ["commit", made.commit ? `${mono(made.commit.slice(0, 12))}${made.dirty ? " with changes" : ""}` : "of an installed package"],
      ["harness", mono(made.harness)], ["system", plain(made.platform)],
    ]);
}

function head(title, leaf, back) {
  return `<div class="head"><div>${back ? `<button type="button" class="quiet back" data-back>← all variants</button>` : ""}<h2 id="panel-title">${title}</h2>` +
    `<p><b>${esc(leaf.dtype)}</b> on <b>${esc(leaf.place.id)}</b></p></div>` +
    `<button type="button" class="quiet close" data-close aria-label="Close">✕</button></div>`;
}

const nameOf = (row) => `${esc(row.name)}${row.variant ? `<em>${esc(row.variant)}</em>` : ""}`;

function showCell(r, leaf, back) {
  filter.cell = idOf(r, leaf);
  showPanel(head(nameOf(doc.rows[r]), leaf, back) + `<div class="body">${evidence(r, leaf)}</div>`);
}

// An operator whose variants are folded: their states, each of which opens.
function showVariants(line, leaf) {
  const items = line.rows.filter((r) => code[r * WIDTH + leaf.index] !== NONE).map((r) => {
    const cell = cellAt(r, leaf);
    return `<li><button type="button" data-row="${r}">${stateCell(cell.state)}<span>${esc(doc.rows[r].variant || "plain call")}</span>` +
      `<small>${esc(cell.state)}${cell.errors ? `, ${cell.errors.of_bound === 0 ? "exact" : quantity(Number(Number(cell.errors.of_bound).toPrecision(2))) + " of the bound"}` : ""}</small></button></li>`;
  });
  filter.cell = `${line.group.name}*:${leaf.dtype}@${leaf.place.id}`;
  showPanel(head(nameOf({ name: line.group.name, variant: "" }), leaf, false) +
    `<div class="body"><p class="lead">${times(items.length, "variant")}; each has evidence of its own.</p><ul class="variants">${items.join("")}</ul></div>`);
  panel.querySelectorAll("[data-row]").forEach((b) => b.addEventListener("click", () => {
    showCell(Number(b.dataset.row), leaf, true);
    panel.querySelector("[data-back]").addEventListener("click", () => showVariants(line, leaf));
    panel.focus();
  }));
}

function openCell(line, leaf, from) {
  if (worst(line.rows, leaf, () => true).state === NONE) return;
  opener = from;
  if (line.rows.length > 1) showVariants(line, leaf);
  else showCell(line.rows[0], leaf, false);
  panel.focus();
}

// The name of an operator with one row opens its first cell that was tried.
function openLine(line) {
  const leaf = view.leaves.find((l) => ![NONE, UNTESTED].includes(code[line.rows[0] * WIDTH + l.index])) || view.leaves[0];
  if (leaf) openCell(line, leaf, null);
}

function showPanel(html) {
  panel.innerHTML = html;
  panel.hidden = false;
  document.body.classList.add("opened");
  panel.querySelector(".body").scrollTop = 0;
  writeAddress();
}

function closePanel() {
  if (panel.hidden) return;
  const inside = panel.contains(document.activeElement);
  panel.hidden = true;
  document.body.classList.remove("opened");
  filter.cell = "";
  writeAddress();
  if (inside) (opener?.isConnected && opener.closest("td, th") ? element(at.line, at.column) : table).focus({ preventScroll: true });
}

panel.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]")) closePanel();
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(copy);
});

async function copyText(button) {
  const text = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(text); // not allowed: it is selected, to be copied by hand
    button.textContent = "Selected";
  }
}

// Opens what the address names: a cell, or an operator's variants (NAME*) on a leaf.
function openAddressed() {
  const [, row, dtype, column] = /^(.+):([^:@]+)@(.+)$/.exec(filter.cell) || [];
  const leaf = leafOf.get(`${column}\n${dtype}`);
  const group = row?.endsWith("*") && groups.find((g) => g.name === row.slice(0, -1));
  if (!leaf || (!group && !rowOf.has(row))) {
    panel.hidden = true;
    document.body.classList.remove("opened");
    return;
  }
  const r = rowOf.get(row);
  const own = group || groups.find((g) => g.rows.includes(r));
  if (!group && own.rows.length > 1 && !filter.all && !open.has(own.key)) {
    open.add(own.key);
    draw();
  }
  const line = view.lines.findIndex((l) => (group ? l.group === group : l.rows.length === 1 && l.rows[0] === r));
  if (line >= 0) {
    move(line, view.leaves.findIndex((l) => l.index === leaf.index), false);
    reveal(element(at.line, at.column));
  }
  if (group) showVariants({ group, rows: group.rows }, leaf);
  else showCell(r, leaf, false);
}
