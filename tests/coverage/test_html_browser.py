"""The HTML page in a headless Chromium: what is shown, and what follows a click, a key, a word typed and a narrow window."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from coverage_kit import EVERY_STATE, NUMPY, POCL, SM90, cell, make_report, states_of
from test_html_page import static_report

from portkernel.coverage import baseline
from portkernel.coverage.model import Report
from portkernel.coverage.outputs import render
from portkernel.coverage.percentages import covered
from portkernel.coverage.states import State

selenium = pytest.importorskip("selenium", reason="no selenium")
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not CHROMIUM or not DRIVER, reason="no chromium with its driver (chromium, chromium-driver)"
)

FAST = cell(
    State.NATIVE, "matmul", seconds=1e-3, peer="numpy", peer_seconds=2e-3, launches={"k": 2}, route="k BM=64 on a CPU"
)
CELLS = (
    *EVERY_STATE,
    FAST,
    cell(State.NATIVE, "matmul", "float16"),
    cell(State.NATIVE, "matmul[transposed]"),
    cell(State.WRONG, "matmul[transposed]", "float16", reason="out: <b>beyond</b> its bound"),
    cell(State.NATIVE, "softmax", column=NUMPY),
    cell(State.UNSUPPORTED, "softmax", "int8", reason="expected a float"),
)
CHANGED = {("add", "float32", POCL.id): State.WRONG, ("matmul[transposed]", "float16", POCL.id): State.NATIVE}


def full() -> Report:
    report = make_report(*CELLS, columns=(NUMPY, POCL, SM90))
    return replace(report, comparison=baseline.compare({**states_of(report), **CHANGED}, report))


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    profile = tmp_path_factory.mktemp("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(DRIVER, env={**os.environ, "HOME": str(profile)}))
    yield driver
    driver.quit()


class Page:
    """A page that is open, in the words of somebody who looks at it."""

    def __init__(self, driver: Chrome, address: str) -> None:
        self.driver, self.address = driver, address

    def go(self, fragment: str = "") -> Page:
        self.driver.get("about:blank")
        self.driver.get(self.address + fragment)
        return self

    def one(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return [e for e in self.driver.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()]

    def text(self, selector: str) -> str:
        return " ".join(self.one(selector).text.split())

    def names(self) -> list[str]:
        found: list[str] = self.script(
            "return [...document.querySelectorAll('#table tbody th span')].map((e) => e.textContent)"
        )
        return found

    def cells(self, name: str) -> list[str]:
        """The states of a line, as they are said aloud; empty where the operator does not take the dtype."""
        at = self.names().index(name)
        line = f"[...document.querySelectorAll('#table tbody tr')[{at}].querySelectorAll('td')]"
        found: list[str] = self.script(f"return {line}.map((e) => e.getAttribute('aria-label') || '')")
        return found

    def chip(self, kind: str, value: str) -> Any:
        return self.one(f'#{kind} .chip[data-value="{value}"]')

    def press(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()

    def wait(self, condition: Any) -> None:
        WebDriverWait(self.driver, 10).until(lambda _: condition())

    def script(self, code: str) -> Any:
        return self.driver.execute_script(code)

    def focus(self, property: str) -> Any:
        """A property of what has the focus."""
        return self.script(f"return document.activeElement.{property}")

    def colour(self) -> str:
        return str(self.script("return getComputedStyle(document.body).backgroundColor"))


@pytest.fixture
def page(chrome: Chrome, tmp_path: Path) -> Iterator[Page]:
    """The page of :func:`full`; afterwards the browser must have had nothing to complain about and asked no network."""
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    chrome.set_window_size(1300, 900)
    chrome.get_log("browser"), chrome.get_log("performance")
    yield write(chrome, tmp_path, full())
    assert chrome.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("file:", "about:")) for url in asked), asked
    chrome.get("about:blank")


def write(chrome: Chrome, folder: Path, report: Report) -> Page:
    file = folder / "page.html"
    file.write_text(render(report, "html"), encoding="utf-8")
    return Page(chrome, file.as_uri()).go()


def test_the_map_shows_each_state_by_letter(page: Page) -> None:
    assert page.names() == ["add", "matmul", "softmax"]
    assert [e.text for e in page.all("#table thead tr:first-child th")] == ["Operator", "numpy", "opencl", "cuda"]
    assert "fallback" in page.cells("add")[2] and page.cells("softmax")[0] == "native"
    letters = {td.text for td in page.all("#table tbody td") if td.text}
    assert letters == set("NECTDFUW·")
    assert "Showing 3 of 3 operators of ours" in page.text("#status")


def test_shares_name_their_denominators_and_follow_the_filters(page: Page) -> None:
    assert "1 of 3 33.3 %" in page.text("#shares") and "Of 3 operators of ours: 1 are covered" in page.text("#shares")
    assert "Of 193 overloads of PyTorch's core ATen set: 1 are" in page.text("#shares")
    page.one("#search").send_keys("matmul")
    page.wait(lambda: "Of the 1 that match, of 3 operators of ours" in page.text("#shares"))
    page.chip("dtype", "float32").click()
    assert "Of the 1 that match, of 3 operators of ours: 1 are covered" in page.text("#shares")


@pytest.mark.parametrize("place", ["", NUMPY.id, POCL.id, SM90.id])
def test_the_page_counts_as_the_report_does(page: Page, tmp_path: Path, place: str) -> None:
    report = make_report(
        *CELLS, cell(State.EMITTED, "softmax", "int8", SM90), cell(State.COMPILED, "matmul", column=SM90),
        columns=(NUMPY, POCL, SM90),
    )  # fmt: skip
    write(page.driver, tmp_path, report).go(f"#device={place}" if place else "")
    assert page.text("#shares .big").startswith(f"{len(covered(report.rows, report.cells, place))} of 3")


def test_a_filter_is_clicked(page: Page) -> None:
    page.chip("state", "wrong").click()
    assert page.names() == ["add", "matmul"] and page.chip("state", "wrong").get_attribute("aria-pressed") == "true"
    assert {said for said in page.cells("matmul") if said} == {"wrong, regressed"}
    assert "2 cells" in page.text("#status")
    page.chip("state", "native").click()
    assert page.names() == ["add", "matmul", "softmax"]
    page.chip("backend", "numpy").click()
    assert page.names() == ["softmax"] and page.cells("softmax") == ["native"]
    page.one("#clear").click()
    assert page.names() == ["add", "matmul", "softmax"] and not page.all("#clear")


def test_filters_are_kept_in_the_address(page: Page) -> None:
    page.chip("device", "opencl/pocl").click()
    page.chip("dtype", "float16").click()
    page.chip("dtype", "float32").click()
    assert page.driver.current_url.endswith("#device=opencl/pocl&dtype=float16,float32")
    shown = page.names(), page.text("#status")
    again = page.go("#device=opencl/pocl&dtype=float16,float32")
    assert (again.names(), again.text("#status")) == shown
    page.script("location.hash = 'q=soft'")
    page.wait(lambda: page.names() == ["softmax"])
    assert page.one("#search").get_attribute("value") == "soft"


def test_words_are_searched(page: Page) -> None:
    page.press("/")
    page.press("TRANSposed")
    page.wait(lambda: page.names() == ["matmul"])
    page.one("#search").send_keys("nothing")
    page.wait(lambda: "No cell is like this." in page.text("#nothing"))
    page.one("#nothing button").click()
    assert len(page.names()) == 3


def test_operators_are_chosen_from_a_list(page: Page) -> None:
    page.one("#operators summary").click()
    page.one('#operators input[value="softmax"]').click()
    assert page.names() == ["softmax"] and page.text("#operators summary b") == "1"
    page.press(Keys.ESCAPE)
    assert page.one("#operators").get_attribute("open") is None


def test_an_operator_unfolds_to_its_variants(page: Page) -> None:
    worst, best = page.cells("matmul")[3], page.cells("matmul")[2]
    assert (worst, best) == ("wrong, variants differ, regressed", "native")
    page.all("#table tbody th")[1].click()
    assert page.names() == ["add", "matmul", "plain call", "transposed", "softmax"]
    assert page.cells("plain call")[2:4] == ["native", "native"]
    assert page.cells("transposed")[2:4] == ["native", "wrong, regressed"]
    page.one("#expand").click()
    assert page.names().count("plain call") == 2
    assert page.driver.current_url.endswith("#variants=all")


def test_columns_by_dtype(page: Page) -> None:
    page.one("#by label:last-child").click()
    heads = [e.get_attribute("title") for e in page.all("#table thead tr:first-child th")][1:]
    assert heads == ["float64", "float32", "float16", "int8"]


def test_the_evidence_of_a_cell_by_mouse(page: Page) -> None:
    page.all("#table tbody tr:nth-child(2) td")[2].click()
    assert "2 variants" in page.text("#panel")
    page.all("#panel .variants button")[0].click()
    said = page.text("#panel")
    for part in (
        "matmul", "float32 on opencl/pocl", "ran on the device; every result within its bound", "0.5 times the bound", "1.00 × 10⁻⁷",
        "ours 1 ms numpy 2 ms ratio 0.5 times the time of numpy, 2 times as fast", "k × 2", "k BM=64 on a CPU",
        "portkernel coverage --cell 'matmul:float32@opencl/pocl'", "2026-01-01 00:00:01 UTC", "device a CPU", "driver 3.0",
        "compiler PoCL 3.0", "commit 0123456789", "harness 0123456789abcdef",
    ):  # fmt: skip
        assert part in said, part
    page.one("#panel [data-back]").click()
    assert "2 variants" in page.text("#panel")
    page.one("#panel [data-close]").click()
    assert not page.all("#panel")


def test_reasons_are_shown_as_they_are(page: Page) -> None:
    page.go("#cell=matmul[transposed]:float16@opencl/pocl")
    assert "out: <b>beyond</b> its bound" in page.text("#panel") and "regressed native → wrong" in page.text("#panel")
    assert "transposed" in page.names()


def test_the_table_by_keyboard(page: Page) -> None:
    page.press(Keys.TAB)
    assert page.focus("textContent") == "Skip to the table"
    page.press(Keys.ENTER)
    page.wait(lambda: page.focus("dataset.r") == "0")
    page.press(Keys.ARROW_DOWN, Keys.ENTER)
    assert page.names()[2] == "plain call"
    page.press(Keys.ARROW_DOWN, *[Keys.ARROW_RIGHT] * 3)
    assert page.focus("ariaLabel") == "native" and page.focus("dataset.c") == "2" and page.focus("tabIndex") == 0
    assert page.script("return document.querySelectorAll('#table tbody [tabindex=\"0\"]').length") == 1
    page.press(Keys.ENTER)
    assert "float32 on opencl/pocl" in page.text("#panel") and page.focus("id") == "panel"
    assert "cell=matmul%3Afloat32%40opencl/pocl" in page.driver.current_url
    page.press(Keys.ESCAPE)
    assert not page.all("#panel") and page.focus("dataset.c") == "2" and page.focus("parentElement.dataset.i") == "2"
    page.press(Keys.HOME)
    assert page.focus("textContent").startswith("plain call")
    page.press(Keys.END, Keys.ARROW_RIGHT)
    assert page.focus("dataset.c") == str(len(page.cells("add")) - 1)
    assert page.script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_changes_since_the_baseline_can_be_asked_for(page: Page) -> None:
    page.chip("change", "improved").click()
    assert page.names() == ["add"] and [c for c in page.cells("add") if c] == ["native, improved"]
    assert "1 improved, 1 regressed" in page.text("#comparison")


def test_every_column_can_be_shown(page: Page) -> None:
    few = len(page.cells("add"))
    page.one("#empty").click()
    assert len(page.cells("add")) == 12 > few


def test_dark_by_system_and_by_choice(page: Page) -> None:
    light = page.colour()
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    dark = page.colour()
    assert dark != light
    page.one("#theme").click()
    assert page.colour() == light and page.one("#theme").get_attribute("aria-label") == "Colours: light"
    page.one("#theme").click()
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert page.colour() == dark
    page.one("#theme").click()
    assert page.colour() == light


def test_a_phone(page: Page) -> None:
    size = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.go("#columns=all")
    assert page.script("return document.documentElement.scrollWidth") == 390
    assert page.script("const s = document.getElementById('scroll'); s.scrollLeft = 200; return s.scrollLeft") > 50
    name = page.all("#table tbody th")[0]
    assert (
        page.script("return document.querySelector('#table tbody th').getBoundingClientRect().left") < 2 and name.text
    )
    assert not page.all("#dtype")
    page.one("#more").click()
    assert page.chip("dtype", "float16").is_displayed()
    page.go("#cell=matmul:float32@opencl/pocl")
    box = page.script(
        "const b = document.getElementById('panel').getBoundingClientRect(); return [b.left, b.right, b.bottom, b.top]"
    )
    assert box[:3] == [0, 390, 800] and box[3] > 150


def test_the_ends_of_names_can_be_read_on_a_phone(page: Page, tmp_path: Path) -> None:
    names = [f"conv_transpose{rank}d" for rank in (1, 2, 3)]
    size = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    write(page.driver, tmp_path, make_report(*(cell(State.NATIVE, name) for name in names)))
    assert page.names() == names
    cut = "(e) => e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight"
    assert not page.script(f"return [...document.querySelectorAll('#table tbody th span')].filter({cut}).length")


def test_a_static_report(page: Page, tmp_path: Path) -> None:
    write(page.driver, tmp_path, static_report())
    assert "Nothing ran for this report." in page.text("#static")
    assert "not executed" in page.text("#table thead") and "1 of 1" in page.text("#shares")
    assert "emitted or compiled, not executed" in page.text("#shares")


def test_thousands_of_cells_are_drawn_where_one_looks(page: Page, tmp_path: Path) -> None:
    dtypes = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    cells = [cell(State.NATIVE, f"op{i:03}", d, c) for i in range(250) for d in dtypes for c in (NUMPY, POCL, SM90)]
    write(page.driver, tmp_path, make_report(*cells, columns=(NUMPY, POCL, SM90)))
    filled = "return document.querySelectorAll('#table tbody tr[data-filled]').length"
    page.wait(lambda: page.script(filled) > 10)
    assert (
        page.script(filled) < 150
        and len(page.script("return [...document.querySelectorAll('#table tbody tr')]")) == 250
    )
    assert "7,500 cells" in page.text("#status")
    page.script("const s = document.getElementById('scroll'); s.scrollTop = s.scrollHeight")
    last = "return document.querySelector('#table tbody tr:last-child').cells.length"
    page.wait(lambda: page.script(last) == 31)
    page.script("dispatchEvent(new Event('beforeprint'))")
    assert page.script(filled) == 250
