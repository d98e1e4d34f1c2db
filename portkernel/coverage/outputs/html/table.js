// The table of cells. Every line has its header at once and its cells when it comes near the window: thousands of cells
// would otherwise be laid out that nobody looks at. Columns have fixed widths, so that filling a line moves nothing.
const table = byId("table");
const scroll = byId("scroll");
let view = null; // what select() found, with the lines drawn
let near = null; // the observer that fills lines

function linesOf(found) {
  const lines = [];
  for (const { group, rows } of found.views) {
    const folds = group.rows.length > 1;
    const unfolded = folds && (filter.all || open.has(group.key));
    lines.push({ group, rows, folds, unfolded, level: 1 });
    if (unfolded) for (const r of rows) lines.push({ group, rows: [r], folds: false, level: 2 });
  }
  return lines;
}

const LEVELS = {
  device: [["backend", (l) => l.place.backend], ["device", (l) => l.place.id], ["dtype", (l) => l.dtype]],
  dtype: [["dtype", (l) => l.dtype], ["backend", (l) => l.place.backend], ["device", (l) => l.place.id]],
};
const dtypeLabel = (dtype) => `<span class="long">${esc(dtype)}</span><span class="short" aria-hidden="true">${esc(SHORT[dtype] || dtype)}</span>`;
const placeOf = new Map(places.map((p) => [p.id, p]));

function headText(level, value) {
  if (level === "dtype") return dtypeLabel(value);
  if (level === "backend") return esc(value);
  const place = placeOf.get(value);
  return `${esc(place.label)}<small>${esc(KIND[place.kind])}</small>`;
}

function headTitle(level, value) {
  if (level !== "device") return value;
  const place = placeOf.get(value);
  return [place.id, place.name, KIND[place.kind], place.driver, place.compiler].filter(Boolean).join("\n");
}

function sortedLeaves(leaves) {
  if (filter.by === "device") return leaves;
  return [...leaves].sort((a, b) => DTYPES.indexOf(a.dtype) - DTYPES.indexOf(b.dtype) || a.index - b.index);
}

// The three lines of the header: neighbours of the same value share a cell; where it is narrower than its text, that stands.
function headHtml(leaves, width) {
  const levels = LEVELS[filter.by];
  const labelOf = (level, value) => (level === "device" ? placeOf.get(value).label : value);
  const fits = (label, room) => label.length * 6.7 + 6 <= room;
  const low = leaves.every((leaf) => fits(labelOf(levels[2][0], levels[2][1](leaf)), width));
  let html = "";
  levels.forEach(([level, valueOf], depth) => {
    html += `<tr role="row">${depth === 0 ? `<th class="corner" rowspan="3" scope="col" role="columnheader">Operator</th>` : ""}`;
    for (let i = 0; i < leaves.length; ) {
      let end = i + 1;
      const same = (j) => levels.slice(0, depth + 1).every(([, of]) => of(leaves[j]) === of(leaves[i]));
      while (end < leaves.length && same(end)) end += 1;
      const value = valueOf(leaves[i]);
      const stands = depth === 2 ? !low : !fits(labelOf(level, value), (end - i) * width);
      const classes = [stands ? "stands" : "", depth < 2 ? "span" : "", leaves[i].first ? "first" : ""].filter(Boolean).join(" ");
      html += `<th scope="${depth === 2 ? "col" : "colgroup"}" role="columnheader" class="${classes}" colspan="${end - i}"` +
        `${depth === 2 ? ` data-c="${i}"` : ""} title="${esc(headTitle(level, value))}"><div>${headText(level, value)}</div></th>`;
      i = end;
    }
    html += "</tr>";
  });
  return html;
}

function lineHead(line, i) {
  const { group, rows, level } = line;
  const row = doc.rows[rows[0]];
  const only = group.rows.length === 1 ? row.variant : "";
  const name = esc(group.name).replace(/_/g, "_<wbr>"); // where it may be broken
  const label = level === 2 ? esc(row.variant || "plain call") : `${name}${only ? `<em>${esc(only)}</em>` : ""}`;
  const fold = line.folds ? `<i class="fold" aria-hidden="true"></i>` : "";
  const n = line.folds ? `<small aria-label="${rows.length} variants">${rows.length}</small>` : group.isOperator ? "" : `<small class="kind">kernel</small>`;
  return `<th scope="row" role="rowheader" class="name l${level}" data-r="${i}"${level === 2 ? "" : ` title="${esc(group.name)}"`}>` +
    `<div>${fold}<span>${label}</span>${n}</div></th>`;
}

function lineCells(line) {
  let html = "";
  view.leaves.forEach((leaf, c) => {
    const { state, mixed } = worst(line.rows, leaf, passes);
    const first = leaf.first ? " first" : "";
    if (state === NONE) {
      html += `<td role="gridcell" class="cell s-none${first}" data-c="${c}"></td>`;
      return;
    }
    const changes = line.rows.map((r) => changed.get(r * WIDTH + leaf.index)?.kind);
    const change = CHANGES.find((kind) => changes.includes(kind)); // the first of them matters most
    const said = STATES[state] + (mixed ? ", variants differ" : "") + (change ? `, ${change}` : "");
    html += `<td role="gridcell" class="cell s-${STATES[state]}${mixed ? " mixed" : ""}${first}" data-c="${c}" aria-label="${said}">` +
      `${LETTER[STATES[state]]}${change ? `<span class="mark ${change}"></span>` : ""}</td>`;
  });
  return html;
}

function fillLine(tr) {
  if (tr.dataset.filled) return;
  tr.dataset.filled = "1";
  tr.lastElementChild.remove();
  tr.insertAdjacentHTML("beforeend", lineCells(view.lines[Number(tr.dataset.i)]));
}

function fillAll() {
  for (const tr of table.tBodies[0]?.rows || []) fillLine(tr);
}

function markFirst(leaves) {
  const [, valueOf] = LEVELS[filter.by][filter.by === "device" ? 1 : 0];
  return leaves.map((leaf, i) => ({ ...leaf, first: i > 0 && valueOf(leaf) !== valueOf(leaves[i - 1]) }));
}

const roomWidth = () => scroll.parentElement.clientWidth; // the table's own box is as wide as it is
const NAMED = Math.min(310, Math.max(190, 70 + 7.3 * Math.max(...groups.map((g) => g.name.length)))); // the names' width

function drawTable(found) {
  const held = heldPosition();
  view = { ...found, leaves: markFirst(sortedLeaves(found.leaves)), lines: linesOf(found) };
  const narrow = matchMedia("(max-width: 640px)").matches;
  const named = narrow ? 138 : NAMED;
  const gaps = 8 * view.leaves.filter((l) => l.first).length;
  const room = (roomWidth() - named - gaps - 16) / Math.max(1, view.leaves.length);
  const width = Math.floor(Math.max(narrow ? 28 : 25, Math.min(view.leaves.length < 10 ? 84 : 44, room)));
  const columns = view.leaves.map((l) => `<col style="width:${width + (l.first ? 8 : 0)}px">`).join("");
  const top = Math.min(scroll.scrollTop / 27, view.lines.length - innerHeight / 27); // what will be seen at once
  const body = view.lines.map((line, i) => {
    const seen = i >= top - 1 && i <= top + innerHeight / 27;
    const cells = seen ? lineCells(line) : `<td colspan="${Math.max(1, view.leaves.length)}" class="later"></td>`;
    return `<tr role="row" data-i="${i}"${seen ? ` data-filled="1"` : ""} aria-level="${line.level}"` +
      `${line.folds ? ` aria-expanded="${line.unfolded}"` : ""} aria-rowindex="${i + 4}">${lineHead(line, i)}${cells}</tr>`;
  }).join("");
  table.style.width = `${named + gaps + width * view.leaves.length}px`;
  table.setAttribute("aria-rowcount", view.lines.length + 3);
  table.setAttribute("aria-colcount", view.leaves.length + 1);
  table.innerHTML = `<colgroup><col style="width:${named}px">${columns}</colgroup><thead>${headHtml(view.leaves, width)}</thead><tbody>${body}</tbody>`;
  const empty = view.lines.length === 0 || view.leaves.length === 0;
  table.hidden = empty;
  byId("nothing").hidden = !empty;
  near?.disconnect();
  near = new IntersectionObserver((seen) => {
    for (const entry of seen) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      fillLine(entry.target);
    }
  }, { root: scroll, rootMargin: "500px 0px" });
  for (const tr of table.tBodies[0].rows) if (!tr.dataset.filled) near.observe(tr);
  restorePosition(held);
}

function draw() {
  const found = select();
  drawShares(found);
  drawChips(found);
  drawStatus(found);
  drawTable(found);
  byId("expand").setAttribute("aria-pressed", String(filter.all));
  writeAddress();
}

function fold(line) {
  if (!line.folds) return;
  if (filter.all) for (const group of groups) open.add(group.key);
  filter.all = false;
  if (open.has(line.group.key)) open.delete(line.group.key);
  else open.add(line.group.key);
  draw();
}
