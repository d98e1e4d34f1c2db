"""``portkernel coverage`` as a user types it: options, files, exit statuses."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result
from coverage_kit import HERE, cell, make_report

from portkernel.cli import portkernel
from portkernel.coverage.document import from_document, schema, to_json
from portkernel.coverage.model import Cell, Percentage, Report
from portkernel.coverage.operators import variant_of, variants_of
from portkernel.coverage.rows import all_rows
from portkernel.coverage.states import State

COMMAND = sys.modules["portkernel.cli.coverage"]  # the name in the package is the command


def run(*options: str) -> Result:
    return CliRunner().invoke(portkernel, ["coverage", *options])


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Report]:
    """Runs that find what the test says."""
    said = {"": make_report(cell(State.NATIVE))}
    monkeypatch.setattr(COMMAND, "_measured", lambda options, rows, selection: said[""])
    return said


def test_a_real_run_writes_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMAND, "journal_path", lambda: tmp_path / "journal.jsonl")
    files = [tmp_path / f"report.{suffix}" for suffix in ("json", "csv", "md", "xml", "html")]
    options = [part for file in files for part in ("--output", str(file))]
    result = run(
        "--ops", "add", "--dtypes", "float32", "--backends", "numpy", "--summary", str(tmp_path / "s.md"), *options
    )
    assert result.exit_code == 0, result.output
    document = json.loads(files[0].read_text())
    jsonschema.validate(document, schema())
    (plain,) = (c for c in document["cells"] if c["row"] == "add")
    assert plain["state"] == "native" and sum(plain["launches"].values()) >= 1 and plain["errors"]["cases"] >= 1
    assert plain["peer"] == "numpy" and plain["ratio"] > 0
    assert document["made"]["command"] == ["--ops=add", "--dtypes=float32", "--backends=numpy"]
    assert all(file.stat().st_size for file in files)
    assert "### Coverage:" in (tmp_path / "s.md").read_text() and "add" in result.output


def test_formats_without_a_file_go_to_standard_output(measured: dict[str, Report]) -> None:
    result = CliRunner().invoke(portkernel, ["coverage", "--format", "json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["format"] == "portkernel-coverage-1"


def test_the_options_of_a_run_are_recorded_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, ...]] = []

    def measured(*_: object) -> Report:
        said.append(COMMAND._given())
        return make_report(cell(State.NATIVE))

    monkeypatch.setattr(COMMAND, "_measured", measured)
    run(
        "--quick",
        "--fail-on",
        "wrong",
        "--fail-on",
        "regression",
        "--cell",
        "add:int8@numpy/numpy",
        "--summary",
        os.devnull,
    )
    assert said == [("--cell=add:int8@numpy/numpy", "--quick", "--fail-on=wrong", "--fail-on=regression")]


def low(report: Report) -> Report:
    return replace(report, percentages=[Percentage("operators", "of all", "", 1, 2)])


@pytest.mark.parametrize(
    ("cells", "options", "status", "says"),
    [
        ((cell(State.NATIVE),), (), 0, ""),
        ((cell(State.WRONG),), (), 1, "1 wrong cells"),
        ((cell(State.WRONG),), ("--fail-on", "regression"), 0, ""),
        ((cell(State.NATIVE), cell(State.UNTESTED, dtype="int8")), ("--fail-on", "untested"), 5, "1 cells untested"),
        ((cell(State.NATIVE),), ("--fail-under", "95"), 4, "at least 95 %"),
    ],
)
def test_exit_statuses(
    measured: dict[str, Report], cells: tuple[Cell, ...], options: tuple[str, ...], status: int, says: str
) -> None:
    measured[""] = low(make_report(*cells))
    result = run(*options)
    assert result.exit_code == status and says in result.output


def test_a_regression_is_named(measured: dict[str, Report], tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(to_json(make_report(cell(State.NATIVE))))
    measured[""] = make_report(cell(State.UNSUPPORTED, reason="no more"))
    result = run("--baseline", str(tmp_path / "old.json"), "--fail-on", "regression")
    assert result.exit_code == 3
    assert "regressed: k:float32@opencl/pocl: native → unsupported (no more)" in result.output
    assert "0 improved, 1 regressed" in result.output


def test_an_earlier_report_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(to_json(make_report(cell(State.NATIVE))))
    (tmp_path / "now.json").write_text(to_json(make_report(cell(State.WRONG, reason="beyond its bound"))))
    page, again = tmp_path / "page.html", tmp_path / "again.json"
    options = ("--from", str(tmp_path / "now.json"), "--baseline", str(tmp_path / "old.json"), "--output", str(page))
    result = run(*options, "--output", str(again), "--fail-on", "regression")
    assert result.exit_code == 3, result.output
    assert "native → wrong" in page.read_text()
    document = json.loads(again.read_text())
    jsonschema.validate(document, schema())
    assert [change["after"] for change in document["comparison"]["regressed"]] == ["wrong"]
    assert to_json(from_document(document)) == again.read_text()
    assert run("--from", str(again), "--fail-on", "regression").exit_code == 3


def test_an_interrupted_run_exits_with_130(measured: dict[str, Report]) -> None:
    measured[""] = make_report(cell(State.NATIVE), complete=False)
    result = run()
    assert result.exit_code == 130 and "--resume goes on" in result.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--ops", "nothing_of_the_kind"), "got 'nothing_of_the_kind'"),
        (("--dtypes", "float33"), "got 'float33'"),
        (("--backends", "vulkan/x"), "got 'vulkan'"),
        (("--output", "report.docx"), "expected a suffix among"),
        (("--quick", "--full"), "expected --quick or --full"),
        (("--fail-on", "rain"), "rain"),
        (("--fail-under", "101"), "101"),
        (("--workers", "0"), "0"),
        (("--cases", "-1"), "-1"),
        (("--seconds", "0"), "0"),
        (("--update", __file__), "expected the markers"),
        (("--output", "/dev/null/below/report.json"), "expected a file that can be written"),
        (("--summary", "/dev/null/below/summary.md"), "expected a file that can be written"),
        (("--target", "nobody-has-this"), "nobody-has-this"),
        (("--from", __file__), "--from: expected a report"),
        (("--from", __file__, "--ops", "add"), "expected nothing beside --from but"),
    ],
)
def test_mistakes_exit_with_2(options: tuple[str, ...], says: str) -> None:
    result = run(*options)
    assert result.exit_code == 2 and says in result.output, result.output


def test_resume_without_an_interrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMAND, "journal_path", lambda: tmp_path / "none.jsonl")
    monkeypatch.setattr(COMMAND, "ask", lambda: HERE)
    result = run("--resume")
    assert result.exit_code == 2 and "expected an interrupted run" in result.output


def test_an_unknown_cell_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMAND, "journal_path", lambda: tmp_path / "journal.jsonl")
    monkeypatch.setattr(COMMAND, "ask", lambda: HERE)
    result = run("--cell", "add:float32@opencl/nowhere")
    assert result.exit_code == 2 and "got add:float32@opencl/nowhere" in result.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--backends", "opencl/nowhere"), "expected a column of this machine, got opencl/nowhere"),
        (
            ("--target", "mthreads-s4000", "--cell", "add:int8@musa/x"),
            "expected a cell of this machine, got add:int8@musa/x",
        ),
        (("--target", "mthreads-s4000", "--backends", "cuda"), "expected a route to mthreads-s4000-qy2, got cuda"),
    ],
)
def test_columns_that_are_not_there_are_refused(
    options: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(COMMAND, "journal_path", lambda: tmp_path / "journal.jsonl")
    monkeypatch.setattr(COMMAND, "ask", lambda: HERE)
    result = run("--ops", "add", *options)
    assert result.exit_code == 2 and says in result.output


def test_rows_are_all_operators_and_the_kernels_that_none_reaches() -> None:
    rows = all_rows()
    ids = [row.id for row in rows]
    assert len(ids) == len(set(ids))
    reached = {kernel for row in rows if row.kind == "operator" for kernel in row.kernels}
    assert not reached & {kernel for row in rows if row.kind == "kernel" for kernel in row.kernels}
    matmul = next(row for row in rows if row.id == "matmul" and row.kind == "operator")
    assert matmul.follows == "numpy" and "float16" in matmul.dtypes
    assert "" in variants_of("matmul", matmul.dtypes)
    from portkernel.ops.samples import samples

    features = {variant_of(s) for s in samples("matmul", "float32")}
    assert features == {row.variant for row in rows if row.name == "matmul" and row.kind == "operator"}
