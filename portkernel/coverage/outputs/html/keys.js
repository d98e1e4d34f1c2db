// The keyboard in the table: one element of it takes part in the order of Tab, the arrows move which.
const at = { line: 0, column: -1 }; // -1 is the operator's name

function element(line, column) {
  const tr = table.tBodies[0]?.rows[line];
  if (!tr) return null;
  if (column < 0) return tr.cells[0];
  fillLine(tr);
  return tr.cells[column + 1];
}

// Which operator, row and leaf is held, so that it can be found again in another selection.
function heldPosition() {
  const line = view?.lines[at.line];
  if (!line) return null;
  const leaf = at.column < 0 ? null : view.leaves[at.column];
  return { line, index: leaf ? leaf.index : -1, focused: table.contains(document.activeElement) };
}

function restorePosition(held) {
  at.line = 0;
  at.column = -1;
  if (held) {
    const same = (l) => l.group === held.line.group && l.level === held.line.level && (l.level === 1 || l.rows[0] === held.line.rows[0]);
    let line = view.lines.findIndex(same);
    if (line < 0) line = view.lines.findIndex((l) => l.group === held.line.group);
    const column = view.leaves.findIndex((leaf) => leaf.index === held.index);
    if (line >= 0) Object.assign(at, { line, column });
  }
  const target = element(at.line, at.column);
  if (target) target.tabIndex = 0;
  if (held?.focused) target?.focus({ preventScroll: true });
}

function move(line, column, focus = true) {
  const next = {
    line: Math.max(0, Math.min(view.lines.length - 1, line)),
    column: Math.max(-1, Math.min(view.leaves.length - 1, column)),
  };
  const target = element(next.line, next.column);
  if (!target) return;
  element(at.line, at.column)?.removeAttribute("tabindex");
  Object.assign(at, next);
  target.tabIndex = 0;
  if (focus) {
    target.focus({ preventScroll: true });
    reveal(target);
  }
}

// Scrolls the table alone, past the headers that stand still.
function reveal(target) {
  const box = target.getBoundingClientRect();
  const room = scroll.getBoundingClientRect();
  const top = room.top + table.tHead.offsetHeight;
  const left = room.left + table.tHead.rows[0].cells[0].offsetWidth;
  if (box.top < top) scroll.scrollTop -= top - box.top + 2;
  else if (box.bottom > room.bottom - 14) scroll.scrollTop += box.bottom - room.bottom + 14;
  if (at.column >= 0) {
    if (box.left < left) scroll.scrollLeft -= left - box.left + 4;
    else if (box.right > room.right - 14) scroll.scrollLeft += box.right - room.right + 14;
  }
}

function act(opener) {
  const line = view.lines[at.line];
  if (at.column < 0) {
    if (line.folds) fold(line);
    else openLine(line);
  } else openCell(line, view.leaves[at.column], opener);
}

const PAGE = 15;
const STEPS = {
  ArrowUp: () => [at.line - 1, at.column],
  ArrowDown: () => [at.line + 1, at.column],
  ArrowLeft: () => [at.line, at.column - 1],
  ArrowRight: () => [at.line, at.column + 1],
  PageUp: () => [at.line - PAGE, at.column],
  PageDown: () => [at.line + PAGE, at.column],
  Home: (event) => [event.ctrlKey ? 0 : at.line, -1],
  End: (event) => [event.ctrlKey ? view.lines.length - 1 : at.line, view.leaves.length - 1],
};

table.addEventListener("keydown", (event) => {
  if (event.altKey || event.metaKey) return;
  const step = STEPS[event.key];
  if (step) {
    event.preventDefault();
    move(...step(event));
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    act(event.target);
  }
});

function positionOf(target) {
  const found = target.closest("tbody th, tbody td");
  if (!found || found.classList.contains("later")) return null;
  return { line: Number(found.parentElement.dataset.i), column: found.dataset.c === undefined ? -1 : Number(found.dataset.c) };
}

table.addEventListener("click", (event) => {
  const found = positionOf(event.target);
  if (!found) return;
  move(found.line, found.column);
  act(event.target);
});

table.addEventListener("focus", () => move(at.line, at.column)); // the skip link leads here

// What the pointer is over: said in words, and its column marked in the header.
let marked = null;
table.addEventListener("mouseover", (event) => {
  const found = positionOf(event.target);
  marked?.classList.remove("over");
  marked = null;
  if (!found || found.column < 0) return;
  const td = event.target.closest("td");
  const leaf = view.leaves[found.column];
  marked = table.tHead.querySelector(`th[data-c="${found.column}"]`);
  marked?.classList.add("over");
  if (!td.title) td.title = titleOf(view.lines[found.line], leaf);
});
