"""Running the cases against a backend, by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .. import errors
from ..catalog import Array, ratio
from . import atomics, casts, control, dots, elementwise, folds, memory, random, shapes
from .case import Case, Launch

State = Literal["passed", "failed", "unsupported"]
Launcher = Callable[[Launch], None]

CASES: tuple[Case, ...] = tuple(
    case
    for module in (memory, control, shapes, elementwise, casts, folds, dots, atomics, random)
    for case in module.table.cases
)


class ConformanceError(AssertionError):
    """A backend that breaks the contract; ``report`` has every row."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


@dataclass(frozen=True, slots=True)
class Outcome:
    case: str
    dtype: str
    state: State
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One row for each case and dtype."""

    backend: str
    rows: tuple[Outcome, ...]

    @property
    def failures(self) -> tuple[Outcome, ...]:
        return tuple(row for row in self.rows if row.state == "failed")

    def __str__(self) -> str:
        count = {state: sum(r.state == state for r in self.rows) for state in ("passed", "failed", "unsupported")}
        lines = [f"{self.backend}: " + ", ".join(f"{n} {state}" for state, n in count.items())]
        lines += [f"  {r.state} {r.case} / {r.dtype}: {r.detail}" for r in self.rows if r.state != "passed"]
        return "\n".join(lines)


def launcher(backend: str, device: object = None, **options: object) -> Launcher:
    """Launch through the public interface; the backend ``eager`` steps through the kernel in Python."""
    extra: dict[str, object] = {"backend": backend, **options}
    if device is not None:
        extra["device"] = device

    def launch(item: Launch) -> None:
        if backend == "eager":
            item.kernel.eager[item.grid](**item.args, **item.constants)  # type: ignore[attr-defined]
        else:
            item.kernel[item.grid](**item.args, **item.constants, **extra)

    return launch


def run(item: Launch, launch: Launcher) -> str:
    """Launch and compare: what is wrong, or nothing. Errors that the case does not expect are raised."""
    if item.raises:
        expected: type[Exception] = getattr(errors, item.raises)
        try:
            launch(item)
        except expected:
            return ""
        return f"expected {item.raises}, got no error"
    launch(item)
    wrong = (_compare(name, np.asarray(item.args[name]), want, item) for name, want in item.expect.items())
    return "; ".join(w for w in wrong if w)


def _compare(name: str, got: Array, want: Array, item: Launch) -> str:
    bound = item.bound.get(name)
    if bound is not None:
        worst = ratio(got, want, np.asarray(bound))
        return "" if worst <= 1 else f"{name}: error is {worst:.3g} times the bound: {_first(got, want, bound)}"
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{name}: expected {want.dtype}{want.shape}, got {got.dtype}{got.shape}"
    with np.errstate(invalid="ignore"):  # ml_dtypes sets the flag for NaN
        same = np.asarray(got == want)
        if want.dtype.kind not in "iub":
            same = same | (np.isnan(got) & np.isnan(want))
            if item.bits:
                same = same & ((np.signbit(got) == np.signbit(want)) | np.isnan(want))
    return "" if same.all() else f"{name}: {_first(got, want, None, same)}"


def _first(got: Array, want: Array, bound: Array | float | None, same: Array | None = None) -> str:
    """The first wrong element."""
    if got.shape != want.shape:
        return f"shapes {got.shape} and {want.shape}"
    if same is None:
        g, w = got.astype(np.float64), want.astype(np.float64)
        with np.errstate(invalid="ignore"):
            same = (np.abs(g - w) <= np.asarray(bound)) | (g == w) | (np.isnan(g) & np.isnan(w))
    wrong = np.argwhere(~np.asarray(same))
    place = tuple(int(i) for i in wrong[0])
    limit = "" if bound is None else f" ± {np.broadcast_to(np.asarray(bound), want.shape)[place]:.3g}"
    return f"{len(wrong)} of {want.size} wrong, first at {place}: expected {want[place]}{limit}, got {got[place]}"


def conformance(
    backend: str,
    device: object = None,
    *,
    cases: Iterable[Case] = CASES,
    launch: Launcher | None = None,
    check: bool = True,
    **options: object,
) -> Report:
    """Run ``cases`` in each of their dtypes on ``backend``; further options go to every launch.

    A case that the target declares that it cannot express is a row ``unsupported``. Raises :class:`ConformanceError` if
    any fails, unless ``check=False``. ``launch`` replaces the launch itself, for a backend that has no runtime yet.
    """
    go = launch or launcher(backend, device, **options)
    rows: list[Outcome] = []
    for case in cases:
        for dtype in case.dtypes:
            rows.append(_outcome(case, case.launch(dtype), dtype.name, go))
    report = Report(backend, tuple(rows))
    if check and report.failures:
        raise ConformanceError(report)
    return report


def _outcome(case: Case, item: Launch, dtype: str, go: Launcher) -> Outcome:
    try:
        wrong = run(item, go)
    except (errors.UnsupportedDTypeError, errors.UnsupportedOpError) as e:
        return Outcome(case.name, dtype, "unsupported", e.message)
    except Exception as e:  # a report has every row, whatever one of them ends in
        return Outcome(case.name, dtype, "failed", f"{type(e).__name__}: {e}")
    return Outcome(case.name, dtype, "failed" if wrong else "passed", wrong)
