"""The coverage table: planning, worker processes that crash or hang, gathering, and the three forms of the report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from portkernel.catalog import Case, Entry, Problem
from portkernel.coverage import pool, report, worker
from portkernel.coverage.model import Cell, Outcome, State, Step
from portkernel.coverage.plan import ROUTES, make_plan
from portkernel.coverage.protocol import decode_outcome, decode_step, encode_outcome, encode_step
from portkernel.coverage.run import Report, cover, gather
from portkernel.dtypes import float32, int8

STEP = Step("k", "float32", "opencl", "run", "", "a device")


class FakeKernel:
    """Adds one to ``x`` and ``wrong`` on top."""

    def __init__(self, wrong: float = 0.0, error: Exception | None = None) -> None:
        self.wrong, self.error = wrong, error

    def __getitem__(self, grid: object) -> Callable[..., object]:
        def launch(x: np.ndarray, out: np.ndarray, backend: str) -> None:
            if self.error is not None:
                raise self.error
            out[...] = x + 1 + self.wrong

        return launch


def make_entry(kernel: FakeKernel) -> Entry:
    def make(dtype: object, rng: np.random.Generator) -> Problem:
        x = rng.standard_normal(5).astype(np.float32)
        return Problem(
            {"x": x, "out": np.full(5, np.nan, np.float32)}, (1,), {}, ("out",),
            lambda: {"out": x.astype(np.float64) + 1}, lambda: {"out": np.full(5, 1e-6)},
        )  # fmt: skip

    return Entry("k", kernel, (float32, int8), (Case("five", make),))


def make_report(*cells: Cell) -> Report:
    return Report(tuple(cells), {"opencl": ["a device"]}, "a machine", "2026-01-01")


def test_messages_survive_the_pipe() -> None:
    outcome = Outcome(State.RUN, "here", "because", 0.25, "case", 3, 1e-3, 2e-3, ("float16",))
    assert decode_step(encode_step(STEP)) == STEP
    assert decode_outcome(encode_outcome(outcome)) == outcome


def test_plan_runs_where_there_is_a_device_and_compiles_elsewhere() -> None:
    entries = [make_entry(FakeKernel())]
    plan = make_plan(entries, {"numpy": ["CPU"], "opencl": ["pocl"]})
    modes = {(s.backend, s.mode, s.label) for s, _ in plan.checked if s.dtype == "float32"}
    assert ("numpy", "run", "CPU") in modes and ("opencl", "run", "pocl") in modes
    assert {(b, m) for b, m, _ in modes if b == "triton"} == {("triton", "emulate"), ("triton", "compile")}
    assert {label for b, _, label in modes if b == "triton"} == {"CPU", "sm_80", "sm_90", "gfx942"}
    assert {label for b, _, label in modes if b == "cuda"} == {"sm_80", "sm_90"}
    assert {s.backend for s, _ in plan.measured} == {"numpy", "opencl"}
    interpreted = [env for s, env in plan.checked if s.mode == "emulate"]
    assert all(env == {"PORTKERNEL_DEVICE": "interpreter"} for env in interpreted) and len(interpreted) == 2


def test_plan_filters() -> None:
    entries = [make_entry(FakeKernel())]
    quick = make_plan(entries, {}, backends=("triton",), quick=True)
    assert {(s.dtype, s.mode) for s, _ in quick.checked} == {("float32", "compile"), ("float32", "emulate")}
    assert len(quick.checked) == 2
    only = make_plan(entries, {"cuda": ["gpu"]}, backends=("cuda",), dtypes=("int8",))
    assert [(s.dtype, s.mode) for s, _ in only.checked] == [("int8", "run")]
    assert {r.backend for r in ROUTES} == {"numpy", "opencl", "triton", "cuda"}


@pytest.mark.parametrize(
    ("kernel", "state", "reason"),
    [
        (FakeKernel(), State.RUN, ""),
        (FakeKernel(wrong=1e-3), State.FAILED, "times its bound"),
        (FakeKernel(wrong=np.nan), State.FAILED, "times its bound"),
        (FakeKernel(error=ValueError("no\nmore")), State.FAILED, "ValueError: no"),
    ],
)
def test_worker_judges_results(monkeypatch: pytest.MonkeyPatch, kernel: FakeKernel, state: State, reason: str) -> None:
    monkeypatch.setattr(worker.catalog, "find", lambda name: make_entry(kernel))
    outcome = worker.perform(STEP)
    assert outcome.state is state
    assert reason in outcome.reason and bool(reason) == bool(outcome.reason)
    if state is State.RUN:
        assert outcome.error is not None and outcome.error <= 1 and outcome.cases == 1


@pytest.mark.parametrize(
    ("most", "chosen"), [(0, "abcde"), (1, "a"), (2, "ae"), (3, "ace"), (4, "abde"), (5, "abcde"), (9, "abcde")]
)
def test_cases_are_spread(most: int, chosen: str) -> None:
    cases = [Case(label, lambda dtype, rng: pytest.fail("is not made")) for label in "abcde"]
    assert "".join(c.label for c in worker.spread(cases, most)) == chosen


def test_worker_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.catalog, "find", lambda name: make_entry(FakeKernel()))
    monkeypatch.setattr(worker, "MEASURE_SECONDS", 0.0)
    outcome = worker.perform(Step("k", "float32", "opencl", "measure"))
    assert outcome.seconds is not None and outcome.seconds > 0
    assert outcome.numpy_seconds is None  # there is no peer of that name


FAKE_WORKER = """
import os, sys, time, json
print("a compiler said this", file=sys.stderr)
for line in sys.stdin:
    kernel = json.loads(line)["kernel"]
    if kernel == "crash":
        print("cannot go on", file=sys.stderr, flush=True)
        os.abort()
    if kernel == "hang":
        time.sleep(60)
    answer = {"state": "RUN", "where": os.environ.get("FAKE", ""), "emulated": []}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def fake_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake_worker.py").write_text(FAKE_WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(pool, "WORKER_MODULE", "fake_worker")


@pytest.mark.usefixtures("fake_worker")
def test_a_crash_or_a_hang_costs_one_step() -> None:
    steps = [Step(name, "float32", "b", "run") for name in ("ok", "crash", "hang", "later")]
    found: dict[str, Outcome] = {}
    start = time.monotonic()
    pool.perform_all([(s, {}) for s in steps], 1, 1.0, lambda s, o: found.update({s.kernel: o}))
    assert time.monotonic() - start < 30
    assert {name: o.state for name, o in found.items()} == {
        "ok": State.RUN, "crash": State.FAILED, "hang": State.FAILED, "later": State.RUN,
    }  # fmt: skip
    assert "signal 6: cannot go on" in found["crash"].reason
    assert found["hang"].reason == "no answer within 1 s"


@pytest.mark.usefixtures("fake_worker")
def test_steps_get_their_environment() -> None:
    steps = [(Step(f"k{i}", "float32", "b", "run"), {"FAKE": "x"} if i % 2 else {}) for i in range(4)]
    found: dict[str, str] = {}
    pool.perform_all(steps, 2, 10.0, lambda s, o: found.update({s.kernel: o.where}))
    assert found == {"k0": "", "k1": "x", "k2": "", "k3": "x"}


def test_cells_add_up() -> None:
    def step(mode: str, label: str) -> Step:
        return Step("k", "float32", "triton", mode, "", label)

    emulated = (step("emulate", "CPU"), Outcome(State.EMULATED, "CPU", error=0.5))
    compiled = (step("compile", "sm_80"), Outcome(State.COMPILED, "sm_80"))
    also = (step("compile", "sm_90"), Outcome(State.COMPILED, "sm_90"))
    failed = (step("compile", "gfx942"), Outcome(State.FAILED, "gfx942", "no"))
    cell = Cell("k", "float32", "triton", (emulated, compiled, also))
    assert cell.state is State.EMULATED
    assert cell.describe() == "run in emulation; compiled for sm_80, sm_90"
    assert cell.measured == emulated[1]
    broken = Cell("k", "float32", "triton", (emulated, compiled, failed))
    assert broken.state is State.FAILED and broken.reason == "no"
    assert "FAILED (gfx942)" in broken.describe()


def test_gather_joins_measurements_in_catalogue_order() -> None:
    plan = make_plan([make_entry(FakeKernel())], {"numpy": ["CPU"], "opencl": ["pocl"]}, backends=("numpy", "opencl"))
    outcomes = {s: Outcome(State.RUN, s.label, error=0.1) for s, _ in plan.checked}
    outcomes |= {s: Outcome(State.RUN, s.label, seconds=2.0, numpy_seconds=1.0) for s, _ in plan.measured}
    cells = gather(plan, outcomes)
    assert [(c.dtype, c.backend) for c in cells] == [
        ("float32", "numpy"), ("float32", "opencl"), ("int8", "numpy"), ("int8", "opencl"),
    ]  # fmt: skip
    assert report.row(cells[1]) == ("k", "float32", "opencl", "run on pocl", "0.1", "2.00 s", "2×")


def test_report_forms(tmp_path: Path) -> None:
    good = Cell(
        "k", "float32", "opencl", ((STEP, Outcome(State.RUN, "pocl", error=0.0, seconds=1e-3, numpy_seconds=2e-3)),)
    )
    bad = Cell(
        "k", "int8", "opencl", ((STEP, Outcome(State.FAILED, "pocl", "out of five: error 7 times [its] bound")),)
    )
    found = make_report(good, bad)
    assert found.failed == (bad,)
    out = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    report.print_report(found, out)
    text = out.export_text()
    assert "run on pocl" in text and "exact" in text and "0.5×" in text and "1 failed" in text
    assert "k int8 opencl: out of five: error 7 times [its] bound" in text
    data = json.loads(report.to_json(found))
    assert [c["state"] for c in data["cells"]] == ["run", "failed"]
    assert data["cells"][0]["steps"][0]["error_over_bound"] == 0.0
    markdown = report.to_markdown(found)
    assert "| k | float32 | run on pocl<br>error exact, 1 ms, 0.5× NumPy |" in markdown
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_between_markers(readme, markdown)
    assert "old" not in readme.read_text() and readme.read_text().startswith("before\n")
    assert readme.read_text().endswith(f"{report.END}\nafter\n") and "run on pocl" in readme.read_text()
    (tmp_path / "none.md").write_text("nothing")
    with pytest.raises(ValueError, match="expected the markers"):
        report.write_between_markers(tmp_path / "none.md", markdown)


@pytest.mark.usefixtures("fake_worker")
def test_cover_reports_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portkernel.coverage.run.ask", lambda: {"numpy": pool.Probe(("CPU",))})
    seen: list[tuple[int, int]] = []
    found = cover([make_entry(FakeKernel())], backends=("numpy",), progress=lambda d, t, s: seen.append((d, t)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [c.state for c in found.cells] == [State.RUN, State.RUN]
