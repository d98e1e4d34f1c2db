"""A run: progress, what an interruption keeps, resuming, the time that it gives itself, gathering."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from coverage_kit import FAKE_WORKER, HERE

from portkernel.coverage import provenance
from portkernel.coverage.document import schema, to_document
from portkernel.coverage.journal import Journal
from portkernel.coverage.model import Row, Step
from portkernel.coverage.run import Options, Run
from portkernel.coverage.states import State
from portkernel.coverage.worklist import Selection
from portkernel.errors import SettingError

ROWS = [Row(name, dtypes=("float32",)) for name in ("a", "b", "c", "crash")]
ON_NUMPY = Selection(backends=("numpy",))


def make_run(journal: Journal, rows: list[Row] = ROWS, **options: object) -> Run:
    return Run(rows, HERE, ON_NUMPY, journal, Options(workers=1, **options))  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "journal.jsonl"


@pytest.mark.parametrize("part", ["coverage/judge.py", "catalog.py", "ops/samples/shapes.py"])
def test_the_harness_is_all_that_asks_and_judges(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    for known in ("coverage/judge.py", "catalog.py", "ops/samples/shapes.py", "ops/calls.py"):
        (package / known).parent.mkdir(parents=True, exist_ok=True)
        (package / known).write_text("")
    monkeypatch.setattr(provenance, "PACKAGE", package)
    harness = provenance.harness.__wrapped__
    before = harness()
    (package / "ops" / "calls.py").write_text("# this asks nothing")
    assert harness() == before
    (package / part).write_text("# another question")
    assert harness() != before
    assert (Path(provenance.__file__).parents[1] / part).is_file()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor: 0\ncpu family: 25\nmodel: 1\nmodel name: AMD EPYC\nflags: avx avx2\n\nmodel name: B\n", "AMD EPYC (family 25 model 1, AVX2)"),
        ("cpu family: 26\nmodel: 2\nmodel name: AMD EPYC\nflags: avx2 avx512f\n", "AMD EPYC (family 26 model 2, AVX-512)"),
        ("model name: Virtual CPU\nflags: sse2\n", "Virtual CPU"),
        ("processor: 0\nCPU implementer: 0x41\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_machine_is_named_with_its_generation(text: str, name: str) -> None:
    assert provenance.cpu_name(text.splitlines()) == name


@pytest.mark.usefixtures("fake_worker")
def test_a_run_fills_every_cell_and_leaves_no_journal(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    run = make_run(Journal(path, False))
    seen: list[float] = []
    run.perform(lambda done, step: seen.append(done))
    report = run.report()
    assert [(c.row, c.state) for c in report.cells] == [
        ("a", State.NATIVE), ("b", State.NATIVE), ("c", State.NATIVE), ("crash", State.WRONG),
    ]  # fmt: skip
    assert all(c.date for c in report.cells)
    assert seen == sorted(seen) and 0.9 < seen[-1] <= 1
    assert report.made["complete"] and not path.exists()
    jsonschema.validate(json.loads(json.dumps(to_document(report))), schema())


@pytest.mark.usefixtures("fake_worker")
def test_an_interruption_keeps_what_was_measured_and_resume_goes_on(path: Path) -> None:
    def interrupt(done: float, step: Step) -> None:
        if step.row == "b" and step.mode == "run":
            raise KeyboardInterrupt

    first = make_run(Journal(path, False))
    with pytest.raises(KeyboardInterrupt):
        first.perform(interrupt)
    report = first.report()
    states = {c.row: c.state for c in report.cells}
    assert states == {"a": State.NATIVE, "b": State.NATIVE} and report.untested == 2
    assert not report.made["complete"]

    performed: list[str] = []
    second = make_run(Journal(path, True))
    second.perform(lambda done, step: performed.append(f"{step.mode} {step.row}"))
    assert "run a" not in performed and "run b" not in performed and "run crash" in performed
    after = second.report()
    assert after.made["complete"] and {c.row: c.state for c in after.cells}["a"] is State.NATIVE
    dates = {c.row: c.date for c in report.cells}
    assert {c.row: c.date for c in after.cells}["a"] == dates["a"]


def test_what_cannot_be_resumed(path: Path) -> None:
    with pytest.raises(SettingError, match="expected an interrupted run, found none"):
        Journal(path, True)
    path.parent.mkdir()
    path.write_text(json.dumps({"code": "another"}) + "\n")
    with pytest.raises(SettingError, match="got another"):
        Journal(path, True)


def test_a_torn_line_is_left_out(path: Path) -> None:
    journal = Journal(path, False)
    journal.close(complete=False)
    with path.open("a") as file:
        file.write('{"step": "run operator a:float3')
    assert Journal(path, True).done == {}


@pytest.mark.usefixtures("fake_worker")
def test_a_run_without_time_says_so_and_can_be_resumed(path: Path) -> None:
    run = make_run(Journal(path, False), budget=0.0)
    run.perform()
    report = run.report()
    assert report.made["complete"]
    assert not report.cells and report.untested == len(ROWS)
    again = make_run(Journal(path, True))
    again.perform()
    assert len(again.report().cells) == len(ROWS) and not again.report().untested


@pytest.mark.usefixtures("fake_worker")
def test_only_what_is_right_is_timed(path: Path) -> None:
    performed: list[str] = []
    make_run(Journal(path, False)).perform(lambda done, step: performed.append(f"{step.mode} {step.row}"))
    assert "measure a" in performed and "measure crash" not in performed


PROGRAM = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}, {tmp!r}]
from portkernel.coverage import pool
pool.WORKER_MODULE = "fake_worker"
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background may have it ignored
from test_coverage_run import *
run = make_run(Journal(Path({journal!r}), False), [Row(n, dtypes=("float32",)) for n in ("a", "hang")], seconds=60.0)
try:
    run.perform(lambda done, step: print(step.mode, step.row, flush=True))
except KeyboardInterrupt:
    print("kept", [c.state.value for c in run.report().cells], run.report().untested, flush=True)
"""


def test_sigint_during_a_hang(path: Path, tmp_path: Path) -> None:
    (tmp_path / "fake_worker.py").write_text(FAKE_WORKER)
    program = PROGRAM.format(here=str(Path(__file__).parent), tmp=str(tmp_path), journal=str(path))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    timer = threading.Timer(60, child.kill)
    timer.start()
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if line.startswith("run a"):
                break
        child.send_signal(signal.SIGINT)
        assert child.stdout.read().strip() == "kept ['native'] 1"
        assert child.wait() == 0
    finally:
        timer.cancel()
        child.kill()
    done = Journal(path, True).done
    assert any(key.startswith("run operator a:") for key in done) and not any("hang" in key for key in done)
