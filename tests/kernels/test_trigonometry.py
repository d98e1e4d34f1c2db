"""Inverse and hyperbolic functions within the bounds that they state, against float64."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import ratio, rounding

catalog.package()
trigonometry = importlib.import_module("portkernel.kernels.trigonometry")

OPENCL = pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))
RNG = np.random.default_rng(7)
INSIDE = np.concatenate([RNG.uniform(-1, 1, 4000), [1, -1, 0, -0.0, 1e-6, -1e-20, 0.99999]]).astype(np.float32)
WIDE = np.concatenate(
    [RNG.standard_normal(4000) * 20, 10.0 ** RNG.uniform(-20, 20, 999), [0, -0.0, 88.5, 89.2, -89.0, 3e38]]
)
WIDE = np.concatenate([WIDE, -WIDE]).astype(np.float32)
CASES = {
    "arcsin": INSIDE, "arccos": INSIDE, "arctanh": INSIDE, "arctan": WIDE, "arcsinh": WIDE, "sinh": WIDE, "cosh": WIDE,
    "arccosh": 1 + np.abs(WIDE),
}  # fmt: skip


def stated(name: str) -> int:
    found = re.search(r"At most (\d+) ulp", getattr(trigonometry, name).__doc__)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("backend", ["numpy", OPENCL])
@pytest.mark.parametrize("name", CASES)
def test_within_the_bound(name: str, backend: str) -> None:
    x = CASES[name]
    with np.errstate(all="ignore"):
        want = getattr(np, name)(x.astype(np.float64))
        want = np.where(np.abs(want) > np.finfo(np.float32).max, np.copysign(np.inf, want), want)
    got = getattr(trigonometry, name)(x, backend=backend)
    assert got.dtype == np.float32
    finite = np.isfinite(want)
    assert np.array_equal(got[~finite], want[~finite].astype(np.float32), equal_nan=True)
    bound = stated(name) * np.abs(want[finite]) * 2.0**-23 + rounding(want[finite], pk.float32)
    assert ratio(got[finite], want[finite], bound) <= 1


OUTSIDE = {
    "arcsin": [1.5, -2],
    "arccos": [1.5, -2],
    "arctanh": [1.5, -2],
    "arccosh": [0.5, -1, -2, -3e4, -1e30, -np.inf],
}


@pytest.mark.parametrize("backend", ["numpy", OPENCL])
@pytest.mark.parametrize("name", OUTSIDE)
def test_outside_is_nan(name: str, backend: str) -> None:
    for dtype in (np.float32, np.float64):
        x = np.array([*OUTSIDE[name], np.nan], dtype)
        assert np.isnan(getattr(trigonometry, name)(x, backend=backend)).all()


def test_signs_of_zero() -> None:
    x = np.float32([0.0, -0.0])
    for name in ("arcsin", "arctan", "sinh", "arcsinh", "arctanh"):
        assert np.array_equal(np.signbit(getattr(trigonometry, name)(x, backend="numpy")), [False, True]), name


def test_small_floats_keep_their_dtype() -> None:
    x = INSIDE[:100].astype(np.float16)
    got = trigonometry.arcsin(x, backend="numpy")
    assert got.dtype == np.float16
    assert np.allclose(got.astype(np.float64), np.arcsin(x.astype(np.float64)), rtol=1e-3, atol=1e-7)
