"""Softmax and log-softmax along any axis, and their gradients, against float64."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import gamma, ratio, rounding
from portkernel.errors import ArgumentDTypeError, ArgumentShapeError

catalog.package()
softmax = importlib.import_module("portkernel.kernels.softmax")

OPENCL = pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))
BACKENDS = ["numpy", OPENCL]
RNG = np.random.default_rng(0)
SHAPES = [((3, 7, 5), -1), ((3, 7, 5), 0), ((2, 3, 4, 5, 6), 2), ((2, 9001), 1), ((0, 3), 1), ((5, 1), 1)]


def values(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return (RNG.standard_normal(shape) * 4).astype(pk.dtypes.as_dtype(dtype).np)


def gradient_bound(g: np.ndarray, p: np.ndarray, axis: int, want: np.ndarray, log: bool) -> np.ndarray:
    n = g.shape[axis]
    size = np.abs(g) if log else np.abs(g * p)
    total = gamma(n + 20, pk.float32) * p * size.sum(axis=axis, keepdims=True)
    return np.asarray(total + 6e-7 * size + rounding(want, pk.float32))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
@pytest.mark.parametrize("log", [False, True])
def test_softmax_and_gradient(backend: str, shape: tuple[int, ...], axis: int, log: bool) -> None:
    for x in (values(shape), values(shape[::-1]).T):
        wide = x.astype(np.float64)
        forward = softmax.log_softmax if log else softmax.softmax
        y = forward(x, axis, backend=backend)
        if not x.size:
            assert y.shape == shape
            continue
        want = softmax.reference_softmax(wide, axis, log)
        assert ratio(y, want, softmax.softmax_bound(wide, axis, want, pk.float32, log)) <= 1
        g = values(shape)
        backward = softmax.log_softmax_gradient if log else softmax.softmax_gradient
        got = backward(g, y, axis, backend=backend)
        p = np.exp(y.astype(np.float64)) if log else y.astype(np.float64)
        want = (
            g - p * g.sum(axis, keepdims=True, dtype=np.float64) if log else p * (g - (g * p).sum(axis, keepdims=True))
        )
        assert ratio(got, want, gradient_bound(g.astype(np.float64), p, axis, want, log)) <= 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(backend: str, dtype: str) -> None:
    x = values((5, 33), dtype)
    wide = x.astype(np.float64)
    y = softmax.softmax(x, backend=backend)
    assert y.dtype == x.dtype
    want = softmax.reference_softmax(wide, 1)
    assert ratio(y, want, softmax.softmax_bound(wide, 1, want, pk.dtypes.as_dtype(dtype))) <= 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [6, 9000])
def test_infinities_and_nan(backend: str, n: int) -> None:
    x = np.zeros((5, n), np.float32)
    x[0, 1:], x[1, 2], x[2, 3], x[3], x[4] = -np.inf, np.inf, np.nan, -np.inf, 1e30
    y = softmax.softmax(x, backend=backend)
    assert y[0, 0] == 1
    assert not y[0, 1:].any()
    assert np.isnan(y[1:4]).sum() >= n + 2
    assert np.allclose(y[4], 1 / n)
    assert np.isnan(softmax.log_softmax(x, backend=backend)[2]).all()


def test_other_routes_and_out() -> None:
    torch = pytest.importorskip("torch")
    x = torch.linspace(-3, 3, 35).reshape(5, 7)
    assert torch.allclose(softmax.softmax(x, 0), torch.softmax(x, 0), atol=1e-6)
    out = np.full((5, 14), np.nan, np.float32)[:, ::-2]
    a = values((5, 7))
    assert softmax.softmax(a, out=out) is out
    assert np.allclose(out.sum(1), 1)
    pytest.importorskip("triton")
    assert np.allclose(softmax.softmax(a, backend="triton", device="interpreter"), out, atol=1e-6)


def test_refusals() -> None:
    x = values((3, 4))
    with pytest.raises(ArgumentDTypeError, match=r"softmax\(\): x"):
        softmax.softmax(np.ones((2, 2), np.int32))
    with pytest.raises(ArgumentShapeError, match="axis"):
        softmax.softmax(x, 2)
    with pytest.raises(ArgumentShapeError, match="grad: expected the shape"):
        softmax.softmax_gradient(x[:2], x)
    with pytest.raises(ArgumentDTypeError, match="out"):
        softmax.softmax(x, out=np.empty((3, 4)))
