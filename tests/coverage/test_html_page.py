"""The HTML page as text: one file that loads nothing, says what stands in it, and cannot be broken by what it quotes."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from coverage_kit import EVERY_STATE, MADE, POCL, cell, make_report

from portkernel.coverage import baseline
from portkernel.coverage.document import to_document
from portkernel.coverage.model import Column, Report
from portkernel.coverage.outputs import html, render
from portkernel.coverage.states import MEANING, State
from portkernel.errors import MissingDependencyError

REPORT = make_report(*EVERY_STATE)
PROFILE = Column("some-chip/opencl", "opencl", "profile", name="Some Chip, not executed", target="some-chip")


class Reader(HTMLParser):
    """The elements of a page, and the text of its scripts by their id."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.open = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open = str(dict(attrs).get("id") or tag) if tag == "script" else self.open

    def handle_endtag(self, tag: str) -> None:
        self.open = "" if tag == "script" else self.open

    def handle_data(self, data: str) -> None:
        if self.open:
            self.scripts[self.open] = self.scripts.get(self.open, "") + data


def static_report() -> Report:
    report = make_report(
        cell(State.EMITTED, column=PROFILE, reason="its text respects the profile"), columns=(PROFILE,)
    )
    made = {**MADE, "command": ["--target", "some-chip"]}
    return replace(
        report, made=made, missing={"some-chip": {"why": "judged", "hint": "facts have their sources"}}, probes=[]
    )


def text_of(page: str) -> str:
    """What is read in the page's body, its scripts left out."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_page_loads_nothing() -> None:
    page = render(REPORT, "html")
    for tag, attributes in Reader(page).elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag
        assert not attributes.get("src") and (attributes.get("href") or "#").startswith("#"), (tag, attributes)
    assert not re.search(r"url\(|@import|https?://|\bfetch\(|XMLHttpRequest|WebSocket|\bimport\(", page)
    assert "default-src 'none'" in page


def test_the_document_is_in_the_page() -> None:
    scripts = Reader(render(REPORT, "html")).scripts
    assert json.loads(scripts["report"]) == json.loads(json.dumps(to_document(REPORT)))
    letters = json.loads(scripts["letters"])
    assert set(letters) == {state.value for state in State} and len(set(letters.values())) == len(letters)


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028 & \" ' <b>", "{{ 7 * 7 }}"]
)
def test_what_the_page_quotes_cannot_break_it(text: str) -> None:
    spoilt = make_report(cell(State.WRONG, reason=text))
    spoilt = replace(spoilt, made={**spoilt.made, "machine": text}, missing={text: {"why": text, "hint": text}})
    page = render(spoilt, "html")
    reader = Reader(page)
    assert json.loads(reader.scripts["report"])["cells"][0]["reason"] == text
    plain = Reader(render(REPORT, "html"))
    assert len([t for t, _ in reader.elements if t == "script"]) == len([t for t, _ in plain.elements if t == "script"])
    assert f"{text}, 2 cores" in unescape(page)


def test_the_page_can_be_read_without_javascript() -> None:
    text = text_of(render(REPORT, "html"))
    for state, meaning in MEANING.items():
        assert state.value in text and meaning in text
    assert "75.0 % 3 of 4 operators of portkernel that run, of all 4" in text
    assert "float64 is float64 cold as declared" in text and "cuda : no driver a GPU" in text
    assert "1 January 2026, 00:00 UTC" in text and "0123456789abcdef" in text


def test_probes_that_found_the_same_are_one_line() -> None:
    (probe,) = REPORT.probes
    bad = replace(probe, cache="warm", executed="float32")
    text = text_of(render(replace(REPORT, probes=[probe, replace(probe, cache="warm")]), "html"))
    assert "float64 is float64 cold and warm as declared" in text
    text = text_of(render(replace(REPORT, probes=[probe, bad]), "html"))
    assert "float64 cold as declared" in text and "float64 warm executed as float32" in text


def test_probes_that_found_nothing_are_folded() -> None:
    (probe,) = REPORT.probes
    bad, failed = replace(probe, executed="float32"), replace(probe, executed="", reason="no float64")
    for found, said, is_open in (
        (probe, "1 probes on 1 places: none found", False),
        (bad, "1 probes on 1 places: 1 found", True),
        (failed, "1 probes on 1 places: none found", True),
    ):
        page = render(replace(REPORT, probes=[found]), "html")
        section = page.partition('id="probes"')[2].partition("</section>")[0]
        assert said in section and ("<details open>" in section) == is_open


def test_a_static_report_says_that_nothing_ran() -> None:
    text = text_of(render(static_report(), "html"))
    assert "Nothing ran for this report." in text and "States are at most compiled" in text and "some-chip" in text
    assert "a machine, 2 cores" not in text
    assert "Nothing ran" not in text_of(render(REPORT, "html"))


def test_an_interrupted_run_says_so() -> None:
    assert "The run was interrupted." in text_of(render(make_report(cell(State.NATIVE), complete=False), "html"))


def test_what_changed_is_listed() -> None:
    before = {("add[empty]", "int8", POCL.id): State.NATIVE, ("old", "int8", POCL.id): State.NATIVE}
    text = text_of(render(replace(REPORT, comparison=baseline.compare(before, REPORT)), "html"))
    assert "0 improved, 1 regressed, 6 new, 1 gone" in text
    assert "add[empty]:int8@opencl/pocl native → wrong" in text and "old:int8@opencl/pocl native → not there" in text
    assert "Since the baseline" not in text_of(render(REPORT, "html"))


def test_every_file_of_the_page_is_used_and_shipped() -> None:
    here = {item.name for item in files(html).iterdir() if item.name.endswith((".css", ".js", ".html"))}
    assert here == {*html.STYLES, *html.SCRIPTS, "page.html"}
    shipped = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"portkernel.coverage.outputs.html" = ["*.html", "*.css", "*.js"]' in shipped


def test_the_same_report_gives_the_same_page() -> None:
    assert render(REPORT, "html") == render(REPORT, "html")


def test_without_jinja2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, html.__name__)
    with pytest.raises(MissingDependencyError, match=r"jinja2 is not installed[\s\S]*portkernel\[report\]"):
        render(REPORT, "html")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The ratio that WCAG 2 defines; 4.5 is asked of small text."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def colours_of(selector: str, theme: str) -> dict[str, str]:
    """The colours that a rule of the page defines, in one theme."""
    css = files(html).joinpath("tokens.css").read_text(encoding="utf-8")
    block = css.partition(f"\n{selector} {{")[2].partition("}")[0]
    pairs = re.findall(r"--([\w-]+): (?:light-dark\((#\w{6}), (#\w{6})\)|(#\w{6}|transparent));", block)
    return {name: both or (light if theme == "light" else dark) for name, light, dark, both in pairs}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_letters_and_text_can_be_read(theme: str) -> None:
    colours = colours_of(":root", theme)
    for state in State:
        found = colours_of(f".s-{state.value}", theme)
        under = found["c"] if found["c"] != "transparent" else colours["surface"]
        assert contrast(under, found["t"]) >= 4.5, state
    for ink in ("text", "soft", "accent", "bad"):
        for paper in ("page", "surface", "sunken"):
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
