"""Every kernel of the library, in its dtypes and cases, against its reference and within its error bound."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from routes import ON_DEVICE, ROUTES, Route

from portkernel import catalog
from portkernel.catalog import Case, Entry, Problem
from portkernel.dtypes import DType
from portkernel.testing import Launch

FULL = os.environ.get("PORTKERNEL_CONFORMANCE") == "full"
ENTRIES = catalog.all_entries()


def _cells() -> Iterator[object]:
    for route in ROUTES.values():
        marks = [pytest.mark.device] if route.name in ON_DEVICE else []
        if route.name == "eager":
            continue  # one program at a time: the conformance cases have it, at their small sizes
        for entry in ENTRIES:
            for dtype in entry.dtypes:
                for case in _cases(route, entry, dtype):
                    label = f"{route.name}-{entry.name}-{dtype}-{case.label}"
                    yield pytest.param(route, entry, dtype, case, id=label, marks=marks)


def _cases(route: Route, entry: Entry, dtype: DType) -> tuple[Case, ...]:
    """All of them, or one for each dtype where a route is slow to compile or to run; never its largest there."""
    if FULL or route.name == "numpy":
        return entry.cases
    few = entry.cases[1:]
    return (few[zlib.crc32(f"{route.name}/{entry.name}/{dtype}".encode()) % len(few)],)


@pytest.mark.parametrize(("route", "entry", "dtype", "case"), list(_cells()))
def test_kernel(route: Route, entry: Entry, dtype: DType, case: Case) -> None:
    reason = route.absent()
    if reason:
        pytest.skip(reason)
    problem = case.make(dtype, np.random.default_rng(1))
    route.launch(_launch(entry, problem, route))
    for name, worst in catalog.check(problem).items():
        assert worst <= 1, f"{name}: the error is {worst:.3g} times its bound"


def _launch(entry: Entry, problem: Problem, route: Route) -> Launch:
    """Under emulation the sizes of blocks are not chosen by a launch: the grid needs them said."""
    constants = dict(problem.constants)
    grid = problem.grid
    if route.name == "cuda-emulation":
        open_sizes = [p.name for p in entry.kernel.parsed.params if p.constexpr and p.name not in constants]
        constants |= {name: SIZES[name] for name in open_sizes if name in SIZES}
        grid = grid(constants) if callable(grid) else grid
    return Launch(entry.kernel, dict(problem.args), {}, grid, constants=constants)


SIZES = {"BM": 32, "BN": 64, "BK": 16, "B": 256}


def test_every_module_has_entries() -> None:
    assert len({e.name for e in ENTRIES}) == len(ENTRIES) >= 11


def test_poison_shows() -> None:
    """A kernel that writes nothing fails every check."""
    for entry in ENTRIES:
        for dtype in entry.dtypes:
            problem = entry.cases[0].make(dtype, np.random.default_rng(1))
            assert max(catalog.check(problem).values()) > 1, (entry.name, dtype)
