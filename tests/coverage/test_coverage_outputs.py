"""Every form of the report, from one that has a cell in each state."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from xml.etree import ElementTree

import jsonschema
import pytest
from coverage_kit import EVERY_STATE, POCL, cell, make_report
from rich.console import Console

from portkernel.coverage import baseline, document
from portkernel.coverage.outputs import FORMATS, SUFFIX, render
from portkernel.coverage.outputs import markdown as md
from portkernel.coverage.outputs.summary import to_summary
from portkernel.coverage.outputs.terminal import print_report
from portkernel.coverage.outputs.words import duration, plain_table
from portkernel.coverage.states import State

REPORT = make_report(*EVERY_STATE)


def test_the_schema_is_a_schema_and_the_document_follows_it() -> None:
    jsonschema.Draft202012Validator.check_schema(document.schema())
    jsonschema.validate(json.loads(document.to_json(REPORT)), document.schema())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d["cells"][0].update(state="run"),
        lambda d: d["cells"][0].update(surprise=1),
        lambda d: d["cells"][0].pop("row"),
        lambda d: d["made"].pop("commit"),
        lambda d: d["columns"][0].update(kind="gpu"),
        lambda d: d.update(format="portkernel-coverage-0"),
        lambda d: d["percentages"][0].update(percent=101),
    ],
)
def test_the_schema_refuses_what_is_spoilt(spoil) -> None:
    found = json.loads(document.to_json(REPORT))
    spoil(found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, document.schema())


def test_the_document_is_read_back() -> None:
    text = document.to_json(REPORT)
    again = document.from_document(json.loads(text))
    assert document.to_json(again) == text
    assert again.cells[0].ratio == 0.5 and again.cells[0].outcome.errors == EVERY_STATE[0].outcome.errors
    with pytest.raises(ValueError, match="expected a report of the format"):
        document.from_document({"format": "else"})


def test_infinite_errors_are_json() -> None:
    bad = cell(State.WRONG)
    assert bad.outcome.errors is not None
    bad = replace(bad, outcome=replace(bad.outcome, errors=replace(bad.outcome.errors, of_bound=float("inf"))))
    found = json.loads(document.to_json(make_report(bad)))
    jsonschema.validate(found, document.schema())
    assert found["cells"][0]["errors"]["of_bound"] == "inf"
    again = document.from_document(found).cells[0].outcome.errors
    assert again is not None and again.of_bound == float("inf")


def test_csv_has_a_line_for_each_cell_with_its_evidence() -> None:
    lines = list(csv.DictReader(io.StringIO(render(REPORT, "csv"))))
    assert len(lines) == len(REPORT.cells)
    assert lines[0]["state"] == "native" and lines[0]["launches"] == "k×2" and float(lines[0]["ratio"]) == 0.5
    assert lines[0]["name"] == "a CPU" and lines[0]["driver"] == "3.0" and lines[0]["commit"] == "0123456789"
    assert lines[2]["declared"] == "float64" and lines[2]["executed"] == "float32"


def test_junit_fails_what_is_wrong_and_skips_what_did_not_run() -> None:
    root = ElementTree.fromstring(render(REPORT, "junit"))
    suites = {suite.get("name"): suite for suite in root}
    pocl = suites[POCL.id]
    assert (pocl.get("tests"), pocl.get("failures"), pocl.get("skipped")) == ("5", "3", "0")
    assert {f.get("type") for f in pocl.iter("failure")} == {"wrong", "degraded", "fallback"}
    assert len(list(suites["cuda/sm_90"].iter("skipped"))) == 3
    assert any("<bound> & more" in (f.text or "") for f in pocl.iter("failure"))


def test_markdown_says_what_is_covered_and_why_the_rest_is_not() -> None:
    text = render(REPORT, "markdown")
    assert "| add | 1 native, 1 emulated, 1 degraded | 1 compiled, 1 emitted, 1 unsupported |" in text
    assert "| add[empty] | 1 fallback, 1 wrong |  |" in text
    assert "75.0 % (3 of 4)" in text and "0.5 % (1 of 193)" in text
    assert "**wrong** add[empty]:int8@opencl/pocl: out: error 7 times [its] &lt;bound> & more" in text
    assert "| cuda | no driver | a GPU |" in text
    compact = md.to_compact(REPORT)
    assert "| float32 | 1 native, 1 fallback | 1 compiled |" in compact and "add" not in compact


def test_markdown_goes_between_markers() -> None:
    begin, end = "<!-- a part: begin -->", "<!-- a part: end -->"
    page = md.page_with("a part", "new", f"before\n{begin}\nold\n{end}\nafter\n")
    assert page == f"before\n{begin}\n\nnew\n{end}\nafter\n"
    for without in ("nothing", begin, f"{end}{begin}"):
        with pytest.raises(ValueError, match="expected the markers"):
            md.page_with("a part", "new", without)


@pytest.mark.parametrize("details", [False, True])
def test_terminal(details: bool) -> None:
    out = Console(width=200, record=True, file=io.StringIO())
    print_report(REPORT, out, details)
    text = out.export_text()
    assert "wrong add[empty]:int8@opencl/pocl: out: error 7 times [its] <bound> & more" in text
    assert "75.0 % (3 of 4)" in text and "cuda: not measured on a device here: no driver (a GPU)" in text
    assert "8 cells tried (2 s): 1 native, 1 emulated, 1 compiled" in text and "1 more untested" in text
    if details:
        assert "degraded (float64 → float32)" in text and "0.5× numpy" in text and "1 ms" in text
    else:
        assert "1 native 1 emulated 1 degraded" in " ".join(text.split())


def test_a_narrow_terminal_breaks_no_word() -> None:
    columns = [replace(POCL, id=f"opencl/device-{i}") for i in range(6)]
    cells = [cell(State.NATIVE, "add", dtype, c) for c in columns for dtype in ("float32", "int8")]
    out = Console(width=72, record=True, file=io.StringIO())
    print_report(make_report(*cells, columns=tuple(columns)), out)
    lines = out.export_text().splitlines()
    assert next(line for line in lines if line.strip().startswith("add")).split() == ["add", *["2N"] * 6]
    assert any(line.split() == ["operator", *(f"device-{i}" for i in range(6))] for line in lines)
    assert "N native" in lines


def test_summary_names_what_changed() -> None:
    before = {
        ("add", "float32", POCL.id): State.WRONG,
        ("add[empty]", "int8", POCL.id): State.NATIVE,
        ("old", "int8", POCL.id): State.NATIVE,
    }
    text = to_summary(REPORT, baseline.compare(before, REPORT))
    assert "1 improved, 1 regressed" in text and "1 gone" in text
    assert "**1 regressed**\n\n* add[empty]:int8@opencl/pocl: native → wrong" in text
    assert "Against" not in to_summary(REPORT, None)


def test_a_plain_table_says_what_it_cuts() -> None:
    rows = [("a", "wide"), ("longer", "x" * 9), ("b", "y" * 5)]
    assert plain_table(rows, 6) == "a       wide\n------------\nlonger  xxxxx…\nb       yyyyy"
    assert plain_table(rows).splitlines()[2] == "longer  xxxxxxxxx"


def test_formats_have_suffixes() -> None:
    assert set(SUFFIX.values()) == set(FORMATS)
    with pytest.raises(KeyError):
        render(REPORT, "docx")


@pytest.mark.parametrize(("seconds", "text"), [(1e-5, "10 µs"), (2.5e-3, "2.5 ms"), (3.0, "3.00 s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
