"""Precision probes, on honest backends and on one that lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from coverage_kit import NUMPY, POCL, cell

from portkernel.coverage import probes
from portkernel.coverage.model import Column, ProbeResult, Step
from portkernel.coverage.probes import PROBES, degrade, perform, result
from portkernel.coverage.states import State
from portkernel.runtime import numpy as numpy_driver
from portkernel.runtime.arguments import ArrayRef


def results(column: Column, cache: str = "cold") -> dict[str, ProbeResult]:
    steps = [Step(p.name, p.dtype, column, "probe", kind=cache) for p in PROBES]
    return {s.row: result(s, perform(s)) for s in steps}


def test_numpy_is_honest() -> None:
    found = results(NUMPY)
    assert len(found) == len(PROBES) == 6
    assert not any(p.degraded for p in found.values())
    assert all(p.value == p.expected for p in found.values())


def test_an_opencl_cpu_is_honest() -> None:
    pytest.importorskip("pyopencl", reason="OpenCL comes with the cpu extra")
    found = results(Column("opencl/pocl", "opencl", "device"))
    assert not any(p.degraded for p in found.values())


def narrowed(x: np.ndarray) -> np.ndarray:
    """What a device makes of ``x`` that keeps float64 in float32, multiplies float32 in tf32 and counts in 11 bits."""
    if x.dtype == np.float64:
        return x.astype(np.float32).astype(np.float64)
    if x.dtype == np.float32:
        bits = x.view(np.uint32) & np.uint32(0xFFFFE000)
        return bits.view(np.float32)
    return np.minimum(x, x.dtype.type(2048))


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The NumPy backend, executing everything in less precision than declared, and saying nothing."""
    honest: Callable[..., Any] = numpy_driver.Driver.compile

    def compile(self: object, *args: Any) -> object:
        loaded = honest(self, *args)

        class Lying:
            def prepare(self, given: Sequence[object]) -> Callable[..., None]:
                launch = loaded.prepare(given)

                def run(grid: object, values: Sequence[Any], owners: Sequence[Any]) -> None:
                    arrays = [o for g, o in zip(given, owners, strict=True) if isinstance(g, ArrayRef)]
                    kept = [a.copy() for a in arrays]
                    for a in arrays:
                        a[...] = narrowed(a)
                    launch(grid, values, owners)
                    for a, before in zip(arrays[:-1], kept[:-1], strict=True):
                        a[...] = before
                    arrays[-1][...] = narrowed(arrays[-1])

                return run

        return Lying()

    monkeypatch.setattr(numpy_driver.Driver, "compile", compile)
    for kernel in (probes.take_one, probes.product, probes.total, probes.long_product):
        kernel._forget()  # what an honest backend compiled
    yield
    for kernel in (probes.take_one, probes.product, probes.total, probes.long_product):
        kernel._forget()


@pytest.mark.usefixtures("liar")
def test_a_lying_backend_is_caught() -> None:
    found = results(NUMPY)
    assert all(p.degraded for p in found.values()), [p for p in found.values() if not p.degraded]
    assert found["float64 is float64"].executed == "float32" and found["float64 is float64"].value == 0
    assert (
        found["float32 products are float32"].executed == "tfloat32"
        and found["float32 products are float32"].value == 1
    )
    stalled = found["bfloat16 sums do not stall"]
    assert (stalled.declared, stalled.executed, stalled.value) == ("bfloat16", "bfloat16 accumulation", 2048)


def lie(dtype: str = "float64", uses: str = "", column: str = POCL.id) -> ProbeResult:
    return ProbeResult(column, "a probe", "warm", dtype, "less", 0.0, 1.0, uses)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (lie(), State.DEGRADED),
        (lie(uses="dot"), State.DEGRADED),
        (lie(uses="accumulate"), State.NATIVE),
        (lie("float32"), State.NATIVE),
        (lie(column="opencl/intel"), State.NATIVE),
    ],
)
def test_a_caught_lie_degrades_the_cells_that_it_speaks_of(found: ProbeResult, state: State) -> None:
    ran = cell(State.NATIVE, dtype="float64", uses=("dot",))
    (after,) = degrade([ran], [found])
    assert after.state is state
    if state is State.DEGRADED:
        assert (after.outcome.declared, after.outcome.executed) == ("float64", "less")
        assert "warm cache" in after.outcome.reason and after.outcome.errors == ran.outcome.errors


def test_only_what_ran_is_degraded() -> None:
    wrong = cell(State.WRONG, dtype="float64", reason="out: far off")
    others = [cell(s, dtype="float64") for s in (State.COMPILED, State.UNSUPPORTED, State.UNTESTED, State.FALLBACK)]
    after = degrade([wrong, *others], [lie()])
    assert [c.state for c in after] == [State.DEGRADED, *(c.state for c in others)]
    assert "far off" in after[0].outcome.reason  # a lie explains a wrong result, and does not hide it


def test_a_probe_that_cannot_run_says_so() -> None:
    from portkernel.coverage.model import Outcome

    found = result(
        Step(PROBES[0].name, "float64", POCL, "probe", kind="cold"), Outcome(State.UNSUPPORTED, "no float64")
    )
    assert not found.degraded and found.reason == "no float64" and found.value is None
