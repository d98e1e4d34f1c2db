"""Random well-typed kernels give the same on every route; any number by ``python -m portkernel.testing.fuzz``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("hypothesis")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "conformance"))

from routes import ON_DEVICE, ROUTES, Route

from portkernel.testing.fuzz import property_of

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


def test_a_wrong_backend_is_found() -> None:
    """The property can fail: an output that stays poisoned is seen."""
    with pytest.raises(AssertionError, match="random_kernel"):
        property_of(lambda item: None, 5)()
