"""Random well-typed kernels give the same on every route; any number by ``python -m portkernel.testing.fuzz``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "conformance"))

import hypothesis
from routes import ON_DEVICE, ROUTES, Route

import portkernel as pk
from portkernel.testing.fuzz import TRIPS, property_of
from portkernel.testing.programs import Program, programs

EXAMPLES = 20


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(route, id=name, marks=[pytest.mark.device] if name in ON_DEVICE else [])
        for name, route in ROUTES.items()
        if name != "numpy"
    ],
)
def test_random_kernels_agree_with_numpy(route: Route) -> None:
    reason = route.absent()
    if reason:
        pytest.skip(reason)
    property_of(route.launch, EXAMPLES if route.share != 1 else EXAMPLES // 2)()


@hypothesis.settings(max_examples=150, derandomize=True, database=None, deadline=None)
@hypothesis.given(programs(14))
def test_long_kernels_are_well_typed(program: Program) -> None:
    """Sums of unsigned tiles are uint64, and with many statements meet signed ones, which have no type in common."""
    pk.kernel_from_source(program.text).ir(**program.arguments(), n=TRIPS)


def test_a_wrong_backend_is_found() -> None:
    """The property can fail: an output that stays poisoned is seen."""
    with pytest.raises(AssertionError, match="random_kernel"):
        property_of(lambda item: None, 5)()
