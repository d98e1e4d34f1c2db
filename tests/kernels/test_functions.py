"""Elementwise functions and fused chains, as NumPy's."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import ratio, rounding
from portkernel.errors import ArgumentDTypeError, ArgumentShapeError, ArgumentTypeError

catalog.package()
functions = importlib.import_module("portkernel.kernels.functions")
elementwise = importlib.import_module("portkernel.kernels.elementwise").elementwise

OPENCL = pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))
BACKENDS = ["numpy", OPENCL]
RNG = np.random.default_rng(3)
X = (RNG.standard_normal((3, 5, 7)) * 4).astype(np.float32)
Y = (RNG.standard_normal((5, 1)) * 4).astype(np.float32)

_erf = np.vectorize(math.erf, otypes=[np.float64])
UNARY = {
    "negative": (np.negative, 0), "absolute": (np.abs, 0), "sign": (np.sign, 0), "floor": (np.floor, 0),
    "ceil": (np.ceil, 0), "trunc": (np.trunc, 0), "round": (np.round, 0), "exp": (np.exp, 3), "expm1": (np.expm1, 3),
    "sin": (np.sin, 4), "cos": (np.cos, 4), "tanh": (np.tanh, 5), "erf": (_erf, 16),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 8), "relu": (lambda x: np.maximum(x, 0), 0),
    "silu": (lambda x: x / (1 + np.exp(-x)), 9), "softplus": (lambda x: np.logaddexp(x, 0), 8),
}  # fmt: skip
POSITIVE = {"sqrt": (np.sqrt, 1), "rsqrt": (lambda x: 1 / np.sqrt(x), 2), "log": (np.log, 3), "log1p": (np.log1p, 2),
            "log2": (np.log2, 3), "log10": (np.log10, 3)}  # fmt: skip
BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum,
    "equal": np.equal, "less": np.less, "greater_equal": np.greater_equal, "logical_and": np.logical_and,
    "floor_divide": np.floor_divide,
}  # fmt: skip
INTEGER = {"bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
           "remainder": np.remainder, "floor_divide": np.floor_divide, "add": np.add}  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [*UNARY, *POSITIVE])
def test_unary(name: str, backend: str) -> None:
    x = np.abs(X) + np.float32(0.01) if name in POSITIVE else X
    reference, ulp = (UNARY | POSITIVE)[name]
    want = reference(x.astype(np.float64))
    got = getattr(functions, name)(x, backend=backend)
    assert got.dtype == np.float32
    scale = np.maximum(np.abs(want), np.abs(x) * 2**-22 if name == "softplus" else 0)
    assert ratio(got, want, scale * ulp * 2.0**-23 + (rounding(want, pk.float32) if ulp else 0)) <= 1


@pytest.mark.parametrize("name", [*BINARY])
def test_binary(name: str) -> None:
    got = getattr(functions, name)(X, Y)
    want = BINARY[name](X, Y)
    assert got.dtype == want.dtype
    assert np.array_equal(got, want)


@pytest.mark.parametrize("name", INTEGER)
def test_integers(name: str) -> None:
    a = RNG.integers(-100, 100, (4, 9)).astype(np.int16)
    b = RNG.integers(1, 9, (9,)).astype(np.int16)
    assert np.array_equal(getattr(functions, name)(a, b), INTEGER[name](a, b))


@pytest.mark.parametrize("backend", BACKENDS)
def test_choice_casts_and_gelu(backend: str) -> None:
    assert np.array_equal(functions.where(X > 0, X, Y, backend=backend), np.where(X > 0, X, Y))
    assert np.array_equal(functions.clip(X, -1.0, 1.0, backend=backend), np.clip(X, -1, 1))
    assert np.array_equal(functions.astype(X, "int8", backend=backend), X.astype(np.int8))
    assert functions.astype(np.array([300.0, np.nan], np.float32), "int8", backend=backend).tolist() == [127, 0]
    wide = X.astype(np.float64)
    want = wide * 0.5 * (1 + _erf(wide / math.sqrt(2)))
    assert np.abs(functions.gelu(X, backend=backend) - want).max() < 1e-5
    approximate = functions.gelu(X, "tanh", backend=backend)
    assert 1e-6 < np.abs(approximate - want).max() < 2e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_layout(backend: str) -> None:
    for x in (X, X.T, X[::-1, :, ::2], np.broadcast_to(X[:1], X.shape), X[:0], np.array(2.0, np.float32)):
        got = elementwise(lambda v, w: v * w + 1, x, 3.0, backend=backend)
        assert got.shape == x.shape
        assert np.array_equal(got, x * np.float32(3) + 1)
    many = np.arange(2 * 3 * 2 * 3 * 2 * 2, dtype=np.int32).reshape(2, 3, 2, 3, 2, 2)
    assert np.array_equal(elementwise(lambda v: v + 1, many, backend=backend), many + 1)
    assert elementwise(lambda v, w: v + w, X.T, X.T, backend=backend).strides == X.T.strides


def test_dtypes_of_results() -> None:
    assert elementwise(lambda v, w: v + w, X, 1).dtype == np.float32
    assert elementwise(lambda v, w: v + w, X.astype(np.float64), 0.1)[0, 0, 0] == np.float64(X[0, 0, 0]) + 0.1
    half = X.astype(np.float16)
    assert elementwise(lambda v: v * v + v, half).dtype == np.float16
    # one rounding: 2048.5 is not a float16, and would be lost between the operations
    big = np.array([2048], np.float16)
    assert elementwise(lambda v: (v + 0.5) * 4 - 8192, big).tolist() == [2.0]
    byte = np.array([100], np.int8)
    assert elementwise(lambda v, w: v + w, byte, 100).tolist() == [-56]
    assert elementwise(lambda v: v / 2, np.array([3], np.int32)).dtype == np.float32
    assert elementwise(lambda v: v > 0, half).dtype == bool


def test_out_may_be_an_argument() -> None:
    x = X.copy()
    got = elementwise(lambda v, w: v * w, x, Y, out=x)
    assert got is x
    assert np.array_equal(x, X * Y)
    with pytest.raises(pk.errors.OverlapError):
        elementwise(lambda v: v, x[1:], out=x[:-1])


def test_kernels_are_kept() -> None:
    module = importlib.import_module("portkernel.kernels.elementwise")
    for factor in (2, 3, 2, 3):
        assert elementwise(lambda v: v * factor, X)[0, 0, 0] == X[0, 0, 0] * factor  # noqa: B023
        seen = len(module._kernels)
    for factor in (2, 3):
        elementwise(lambda v: v * factor, X)  # noqa: B023
    assert len(module._kernels) <= seen + 2


def test_constants_of_a_function_are_told_apart() -> None:
    whole = np.arange(4, dtype=np.int32)
    for factor in (1, 1.5, 1.0, -0.0, 0.0):
        got = elementwise(lambda v: v * factor, whole, backend="numpy")  # noqa: B023
        want = (whole * factor).astype(np.float32 if isinstance(factor, float) else np.int32)
        assert got.dtype == want.dtype
        assert got.tobytes() == want.tobytes()
    for factor in (2, 3):

        def scaled(v, *, by=factor):
            return v * by

        assert elementwise(scaled, whole, backend="numpy").tolist() == (whole * factor).tolist()


FACTOR = 1


def test_a_global_of_a_function_may_change(monkeypatch) -> None:
    whole = np.arange(4, dtype=np.int32)
    for by in (2, 2.5, 3):
        monkeypatch.setitem(globals(), "FACTOR", by)
        got = elementwise(lambda v: v * FACTOR, whole, backend="numpy")
        assert got.dtype == (np.float32 if isinstance(by, float) else np.int32)
        assert got.tolist() == (whole * by).tolist()


def test_torch_and_triton() -> None:
    torch = pytest.importorskip("torch")
    x = torch.linspace(-3, 3, 35).reshape(5, 7)
    assert torch.allclose(functions.silu(x.T), torch.nn.functional.silu(x.T), rtol=1e-5, atol=1e-6)
    pytest.importorskip("triton")
    got = elementwise(lambda v, w: v * w + 1, X, Y, backend="triton", device="interpreter")
    assert np.allclose(got, X * Y + 1, rtol=1e-6)


def test_refusals() -> None:
    with pytest.raises(ArgumentTypeError, match="at least one array"):
        elementwise(lambda v: v, 1.0)
    with pytest.raises(pk.errors.ArgumentTypeError, match="argument 1: expected an array or a scalar, got list"):
        elementwise(lambda v, w: v + w, 1.0, [1, 2])
    with pytest.raises(ArgumentShapeError, match="broadcast"):
        functions.add(X, np.ones((2, 5, 7), np.float32))
    with pytest.raises(ArgumentShapeError, match="out: expected shape"):
        functions.add(X, Y, out=np.empty((3, 5), np.float32))
    with pytest.raises(ArgumentDTypeError, match="combine"):
        functions.add(np.ones(2, np.int64), np.ones(2, np.uint64))
    with pytest.raises(ArgumentTypeError, match=r"add\(\): y: expected an array"):
        functions.add(X, "1")
    with pytest.raises(pk.errors.ArgumentError, match="expected 2"):
        functions.add(X)
