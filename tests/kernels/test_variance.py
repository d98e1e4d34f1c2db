"""Variance, standard deviation and logsumexp over any axes."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import ratio, rounding

catalog.package()
variance = importlib.import_module("portkernel.kernels.variance")
logsumexp = importlib.import_module("portkernel.kernels.logsumexp")

OPENCL = pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))
BACKENDS = ["numpy", OPENCL]


def layouts() -> dict[str, np.ndarray]:
    x = (np.random.default_rng(5).standard_normal((3, 7, 5, 9)) * 3 + 1).astype(np.float32)
    return {"plain": x, "transposed": x.transpose(3, 1, 0, 2), "reversed": x[::-1, :, ::2]}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", layouts())
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1, 3)], ids=str)
def test_variance(backend: str, layout: str, axis: object) -> None:
    x = layouts()[layout]
    wide = x.astype(np.float64)
    got, mean = variance.var_mean(x, axis, keepdims=True, backend=backend)
    want = wide.var(axis=axis, keepdims=True)
    bound = variance.variance_bound(wide, axis).reshape(want.shape) + rounding(want, pk.float32)
    assert ratio(np.asarray(got), want, bound) <= 1
    assert np.allclose(mean, wide.mean(axis=axis, keepdims=True), atol=1e-5)
    got = variance.std(x, axis, ddof=1, backend=backend)
    assert np.allclose(got, wide.std(axis=axis, ddof=1), rtol=1e-5)
    got = logsumexp.logsumexp(x, axis, backend=backend)
    want = np.log(np.exp(wide).sum(axis=axis))
    assert np.allclose(got, want, rtol=3e-6, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_variance_far_from_zero_and_long(backend: str) -> None:
    x = (np.random.default_rng(1).standard_normal(1_000_003) + 1000).astype(np.float32)
    want = x.astype(np.float64).var()
    assert abs(float(variance.var(x, backend=backend)) - want) <= variance.variance_bound(x.astype(np.float64), None)
    assert abs(float(variance.var(x, backend=backend)) / want - 1) < 1e-3
    assert abs(float(logsumexp.logsumexp(x, backend=backend)) - (x.max() + np.log(np.exp(x - x.max()).sum()))) < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_variance_of_little_or_nothing(backend: str) -> None:
    x = np.ones((3, 0, 2), np.float32)
    assert np.isnan(variance.var(x, 1, backend=backend)).all()
    assert variance.var(x, 0, backend=backend).shape == (0, 2)
    one = np.full((3, 1), 7, np.float32)
    assert np.array_equal(variance.var(one, 1, backend=backend), np.zeros(3))
    assert np.isnan(variance.var(one, 1, ddof=1, backend=backend)).all()
    assert np.isnan(variance.var(np.array([1, np.inf], np.float32), backend=backend))
    for far in ([1e20, 1e20, -1e20, 3], [3e38, 3e38, 1, -1], [1e20, -1e20] * 3000):  # finite, but their squares are not
        assert np.isposinf(variance.var(np.array(far, np.float32), backend=backend))
    assert logsumexp.logsumexp(x, 1, backend=backend).tolist() == [[-np.inf] * 2] * 3
    special = np.array([[-np.inf] * 3, [np.inf, 1, 2], [np.nan, 1, 2], [1e30, 1, 2]], np.float32)
    assert np.array_equal(
        logsumexp.logsumexp(special, 1, backend=backend), np.array([-np.inf, np.inf, np.nan, 1e30], "f"), equal_nan=True
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_and_dtypes(backend: str) -> None:
    x = layouts()["plain"]
    mask = x > 0
    got = variance.var(x, (0, 2), where=mask, backend=backend)
    assert np.allclose(got, x.astype(np.float64).var((0, 2), where=mask), rtol=1e-5)
    half = x.astype(np.float16)
    assert np.array_equal(variance.var(half, 0, backend=backend), half.astype(np.float64).var(0).astype(np.float16))
    whole = np.arange(20, dtype=np.int32)
    assert variance.var(whole, backend=backend) == np.float32(33.25)
    assert variance.var(whole, dtype="float64", backend=backend).dtype == np.float64


@pytest.mark.parametrize("backend", BACKENDS)
def test_integers_of_64_bits(backend: str) -> None:
    """Their squares overflow float32 where the variance does not, and float32 does not hold their last digits."""
    for x in (np.array([-(2**63), 2**63 - 1] * 40), np.arange(10) + 2**40, np.array([0, 2**64 - 1] * 40, np.uint64)):
        want = x.astype(np.float64).var()
        got = variance.var(x, backend=backend)
        assert got.dtype == np.float32 and abs(got - want) <= 2**-23 * want
