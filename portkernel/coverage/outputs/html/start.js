// What is pressed and typed outside the table; then the first drawing.
const remember = (name, value) => {
  try {
    localStorage.setItem(name, value);
  } catch { /* not allowed for this address: the choice lasts as long as the page */ }
};
const remembered = (name) => {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
};

const THEMES = { auto: ["◐", "Auto", "as the system"], light: ["☀", "Light", "light"], dark: ["☾", "Dark", "dark"] };
function setTheme(theme) {
  const [sign, label, said] = THEMES[theme];
  document.documentElement.dataset.theme = theme;
  byId("theme").innerHTML = `<span aria-hidden="true">${sign}</span> <b>${label}</b>`;
  byId("theme").setAttribute("aria-label", `Colours: ${said}`);
}
byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  remember("portkernel-theme", next);
  setTheme(next);
});
setTheme(THEMES[remembered("portkernel-theme")] ? remembered("portkernel-theme") : "auto");

document.addEventListener("click", (event) => {
  const pressed = event.target.closest(".chip");
  if (pressed) {
    const { set, value } = pressed.dataset;
    if (!filter[set].delete(value)) filter[set].add(value);
    draw();
  }
  const pick = byId("operators");
  if (pick.open && !pick.contains(event.target)) pick.open = false;
});

let waiting = 0;
byId("search").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    filter.q = byId("search").value.trim();
    drawOperators();
    draw();
  }, 80);
});

function clear() {
  filter.q = "";
  for (const name of SETS) filter[name].clear();
  showFilter();
  draw();
}
byId("clear").addEventListener("click", () => {
  clear();
  byId("search").focus();
});
byId("nothing").querySelector("button").addEventListener("click", clear);
byId("by").addEventListener("change", (event) => {
  filter.by = event.target.value;
  draw();
});
byId("empty").addEventListener("change", (event) => {
  filter.empty = event.target.checked;
  draw();
});
byId("expand").addEventListener("click", () => {
  filter.all = !filter.all;
  open.clear();
  draw();
});

byId("more").addEventListener("click", () => {
  const shown = byId("wide").classList.toggle("shown");
  byId("more").setAttribute("aria-expanded", String(shown));
});

// The list of operators to choose from: those that the search finds, and those chosen.
function drawOperators() {
  const names = unique(groups.filter((g) => searched(g).length || filter.op.has(g.name)).map((g) => g.name)).sort();
  byId("operators").querySelector(".list").innerHTML = names.map((name) =>
    `<label><input type="checkbox" value="${esc(name)}"${filter.op.has(name) ? " checked" : ""}><span>${esc(name)}</span></label>`).join("");
}
byId("operators").addEventListener("change", (event) => {
  if (event.target.checked) filter.op.add(event.target.value);
  else filter.op.delete(event.target.value);
  draw();
});

function showFilter() {
  byId("search").value = filter.q;
  byId("empty").checked = filter.empty;
  for (const radio of byId("by").querySelectorAll("input")) radio.checked = radio.value === filter.by;
  drawOperators();
}

byId("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([byId("report").textContent], { type: "application/json" }));
  link.download = "report.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox" && event.target.type !== "radio";
  if (event.key === "Escape") {
    if (byId("operators").open) {
      byId("operators").open = false;
      byId("operators").querySelector("summary").focus();
    } else closePanel();
  } else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    byId("search").focus();
  }
});

let resized = 0;
let drawnWidth = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(resized);
  resized = requestAnimationFrame(() => {
    if (scroll.clientWidth === drawnWidth) return; // a phone's address bar came or went
    drawnWidth = scroll.clientWidth;
    drawTable(select());
  });
});
addEventListener("hashchange", start);
const legendOpen = [];
addEventListener("beforeprint", () => {
  fillAll();
  legendOpen.push(byId("legend").open);
  byId("legend").open = true;
});
addEventListener("afterprint", () => (byId("legend").open = legendOpen.pop() || false));

function start() {
  readAddress();
  showFilter();
  draw();
  drawnWidth = scroll.clientWidth;
  openAddressed();
}
start();
