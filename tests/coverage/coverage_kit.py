"""Fake rows, kernels, workers and reports for the tests of the coverage report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from portkernel.catalog import Case, Entry, Problem
from portkernel.coverage.model import Cell, Column, Errors, Key, Outcome, Percentage, ProbeResult, Report, Row, Step
from portkernel.coverage.places import Found
from portkernel.coverage.states import State
from portkernel.dtypes import float32, int8
from portkernel.runtime.identity import Identity

POCL = Column("opencl/pocl", "opencl", "device", "0", "a CPU", driver="3.0", compiler="PoCL 3.0")
SM90 = Column("cuda/sm_90", "cuda", "compiler", target="nvidia-h100", arch="sm_90", compiler="cuda 13.5")
NUMPY = Column("numpy/numpy", "numpy", "device", name="numpy")
MADE = {
    "date": "2026-01-01T00:00:00Z", "seconds": 1.5, "complete": True, "command": ["--quick"], "machine": "a machine", "cores": 2,
    "platform": "Linux", "python": "3.11.2", "packages": {"numpy": "2.4"}, "commit": "0123456789", "dirty": False,
    "harness": "0123456789abcdef",
}  # fmt: skip
HERE = {
    "numpy": Found((Identity("numpy", "", "numpy", "numpy 2.4", ""),)),
    "opencl": Found((Identity("pocl", "0", "a CPU", "3.0", "PoCL 3.0"),)),
    "triton": Found(
        (Identity("interpreter", "interpreter", "the interpreter", "", "", True),), "no device", "a GPU", "3.9"
    ),
    "cuda": Found((), "no driver", "a GPU", "13.5"),
}
"""What a machine might have."""


class FakeKernel:
    """Adds one to ``x``, and ``wrong`` on top; raises ``error`` if there is one."""

    name = "k"

    def __init__(self, wrong: float = 0.0, error: Exception | None = None) -> None:
        self.wrong, self.error = wrong, error

    def __getitem__(self, grid: object) -> Callable[..., object]:
        def launch(x: np.ndarray, out: np.ndarray, **route: str) -> None:
            if self.error is not None:
                raise self.error
            out[...] = x + 1 + self.wrong

        return launch


def make_entry(kernel: FakeKernel, cases: str = "a") -> Entry:
    def make(dtype: object, rng: np.random.Generator) -> Problem:
        x = rng.standard_normal(5).astype(np.float32)
        return Problem(
            {"x": x, "out": np.full(5, np.nan, np.float32)}, (1,),
            lambda: {"out": x.astype(np.float64) + 1}, lambda: {"out": np.full(5, 1e-6)},
        )  # fmt: skip

    return Entry("k", kernel, (float32, int8), tuple(Case(c, make) for c in cases))


def step(
    row: str = "k", mode: str = "run", column: Column = POCL, kind: str = "kernel", dtype: str = "float32"
) -> Step:
    return Step(row, dtype, column, mode, kind=kind)


def cell(state: State, row: str = "k", dtype: str = "float32", column: Column = POCL, **more: object) -> Cell:
    errors = Errors(0.5, 1e-7, 2e-7, 1.0, 2e-7, "a", 3) if state.ran or state is State.WRONG else None
    outcome = replace(Outcome(state, errors=errors), **more)  # type: ignore[arg-type]
    return Cell(row, dtype, column.id, outcome, "2026-01-01T00:00:01Z")


def make_report(*cells: Cell, columns: tuple[Column, ...] = (POCL, SM90), complete: bool = True) -> Report:
    names = dict.fromkeys(c.row for c in cells)
    dtypes = tuple(dict.fromkeys(c.dtype for c in cells))
    rows = [Row(*_named(n), dtypes=dtypes, follows="numpy", kernels=("k",), aten=("add.Tensor",)) for n in names]
    return Report(
        {**MADE, "complete": complete}, rows, columns, cells,
        [ProbeResult(POCL.id, "float64 is float64", "cold", "float64", "float64", 2.0**-40, 2.0**-40)],
        [Percentage("operators", "operators of portkernel that run, of all 4", "", 3, 4),
         Percentage("aten-core", "core", "", 1, 193), Percentage("operators", "here", POCL.id, 1, 4)],
        {"cuda": {"why": "no driver", "hint": "a GPU"}},
    )  # fmt: skip


def states_of(report: Report) -> dict[Key, State]:
    return {cell.key: cell.state for cell in report.cells}


def _named(row: str) -> tuple[str, str]:
    name, _, variant = row.removesuffix("]").partition("[")
    return name, variant


EVERY_STATE = (
    cell(State.NATIVE, "add", seconds=1e-3, peer="numpy", peer_seconds=2e-3, launches={"k": 2}),
    cell(State.EMULATED, "add", "float16", how="float16 is computed in float32 and rounded"),
    cell(State.DEGRADED, "add", "float64", declared="float64", executed="float32", reason="a probe"),
    cell(State.FALLBACK, "add[empty]", to="numpy", reason="no OpenCL"),
    cell(State.WRONG, "add[empty]", "int8", reason="out: error 7 times [its] <bound> & more\x1b"),
    cell(State.COMPILED, "add", column=SM90, launches={"k": 1}),
    cell(State.EMITTED, "add", "float16", SM90, reason='pip install "portkernel[cuda]"'),
    cell(State.UNSUPPORTED, "add", "float64", SM90, reason="no float64"),
    cell(State.UNTESTED, "add[empty]", column=SM90, reason="interrupted"),
)
"""A cell in each state."""

FAKE_WORKER = """
import os, sys, time

from portkernel.runtime.worker import serve

print("a compiler said this", file=sys.stderr)


def perform(step):
    if step["row"] == "crash":
        print("cannot go on", file=sys.stderr, flush=True)
        os.abort()
    if step["row"] == "hang":
        time.sleep(60)
    if step["row"] == "slow":
        time.sleep(0.3)
    if step["row"] == "raise":
        raise ValueError("a defect")
    return {"state": "native", "how": os.environ.get("FAKE", ""), "reason": str(os.getpid())}, b""


def main():
    serve(perform)
"""
