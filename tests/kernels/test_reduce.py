"""Reductions over any axes, as NumPy's, on the reference and on OpenCL."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import gamma, ratio, rounding
from portkernel.errors import ArgumentDTypeError, ArgumentShapeError, ArgumentTypeError

catalog.package()
reduce = importlib.import_module("portkernel.kernels.reduce")
arg_reduce = importlib.import_module("portkernel.kernels.arg_reduce")
fold = importlib.import_module("portkernel.kernels.fold")
logsumexp = importlib.import_module("portkernel.kernels.logsumexp")

BACKENDS = ["numpy", pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))]  # fmt: skip
AXES = (None, 0, -1, (0, 2), (1, 3), ())


def layouts(dtype: str = "float32") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    x = (rng.standard_normal((3, 7, 5, 9)) * 3).astype(pk.dtypes.as_dtype(dtype).np)
    return {
        "plain": x,
        "transposed": x.transpose(3, 1, 0, 2),
        "reversed": x[::-1, :, ::2],
        "broadcast": np.broadcast_to(x[:, :1], x.shape),
        "empty": x[:0],
    }


def sum_bound(x: np.ndarray, axis: object, out: np.ndarray, acc: pk.DType) -> np.ndarray:
    size = np.abs(x.astype(np.float64)).sum(axis=axis)
    n = x.size // max(1, size.size)
    return np.asarray(gamma(fold.terms(n) + 2, acc) * size + rounding(out, pk.dtypes.as_dtype(out.dtype)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", layouts())
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_sums_and_extremes(backend: str, layout: str, axis: object) -> None:
    x = layouts()[layout]
    wide = x.astype(np.float64)
    got = reduce.sum(x, axis, backend=backend)
    assert got.dtype == x.dtype
    assert ratio(np.asarray(got), np.asarray(wide.sum(axis=axis)), sum_bound(x, axis, np.asarray(got), pk.float32)) <= 1
    assert np.array_equal(reduce.any(x > 2, axis, backend=backend), (x > 2).any(axis=axis))
    if x.size:
        got = reduce.max(x, axis, keepdims=True, backend=backend)
        assert np.array_equal(got, x.max(axis=axis, keepdims=True))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int8", "uint16", "int64", "bool"])
def test_dtypes(backend: str, dtype: str) -> None:
    x = layouts(dtype)["plain"]
    own = pk.dtypes.as_dtype(dtype)
    exact = x.astype(np.float64) if own.is_float else x
    for axis in (None, (0, 2)):
        got = np.asarray(reduce.sum(x, axis, backend=backend))
        assert own.is_float or got.dtype == np.sum(x).dtype
        want = exact.sum(axis=axis)
        bound = sum_bound(x, axis, got, pk.dtypes.accumulator(own)) if own.is_float else np.zeros(got.shape)
        assert ratio(got, np.asarray(want), bound) <= 1
        assert np.array_equal(reduce.min(x, axis, backend=backend).astype(exact.dtype), exact.min(axis=axis))
        assert np.array_equal(reduce.count_nonzero(x, axis, backend=backend), np.count_nonzero(x, axis=axis))
        mean = np.asarray(reduce.mean(x, axis, backend=backend))
        acc = pk.dtypes.accumulator(reduce.floating(own))
        bound = sum_bound(x, axis, mean, acc) * mean.size / x.size + rounding(mean, pk.dtypes.as_dtype(mean.dtype))
        assert ratio(mean, np.asarray(exact.mean(axis=axis, dtype=np.float64)), bound) <= 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_long_sums_stay_within_the_bound(backend: str) -> None:
    x = np.full(3_000_001, 0.1, np.float32)
    want = x.astype(np.float64).sum()
    got = reduce.sum(x, backend=backend)
    assert got.shape == ()
    assert abs(float(got) - want) <= gamma(fold.TERMS, pk.float32) * want
    assert float(got) == float(reduce.sum(x, backend=backend))
    tall = np.full((40_000, 3), 0.1, np.float32)
    assert np.allclose(reduce.sum(tall, 0, backend=backend), tall.astype(np.float64).sum(0), rtol=1e-5)
    x[[7, 2_999_999]] = np.nan
    assert arg_reduce.argmax(x, backend=backend) == 7


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_initial_dtype_out(backend: str) -> None:
    x = layouts()["plain"]
    mask = x[:, :1] > 0
    assert np.allclose(reduce.sum(x, (0, 2), where=mask, backend=backend), x.sum((0, 2), where=mask), atol=1e-4)
    assert np.allclose(reduce.mean(x, 1, where=x > -3, backend=backend), x.mean(1, where=x > -3), atol=1e-5)
    assert np.array_equal(
        reduce.max(x, 0, where=mask, initial=-0.5, backend=backend), x.max(0, where=mask, initial=-0.5)
    )
    small = np.array([100, 100], np.int8)
    assert reduce.sum(small, initial=5, backend=backend) == 205
    assert reduce.sum(small, dtype="int8", backend=backend) == np.int8(-56)
    out = np.full((3, 2, 9), np.nan, np.float32)[:, 0, ::-1]
    got = reduce.sum(x, (1, 2), out=out, backend=backend)
    assert got is out
    assert np.allclose(out, x.sum((1, 2)), atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_axes(backend: str) -> None:
    x = np.zeros((3, 0, 2), np.float32)
    assert np.array_equal(reduce.sum(x, 1, backend=backend), np.zeros((3, 2)))
    assert np.array_equal(reduce.prod(x, 1, backend=backend), np.ones((3, 2)))
    assert reduce.all(x, backend=backend)
    assert not reduce.any(x, backend=backend)
    assert np.isnan(reduce.mean(x, 1, backend=backend)).all()
    assert reduce.max(x, 0, backend=backend).shape == (0, 2)
    assert (reduce.max(x, 1, initial=4, backend=backend) == 4).all()
    for call in (reduce.max, reduce.min, arg_reduce.argmax):
        with pytest.raises(ArgumentShapeError, match="at least one element"):
            call(x, 1, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_inf_and_tiny(backend: str) -> None:
    x = np.array([[1, np.nan, 3], [np.inf, 2, -np.inf], [1e-40, 2e-40, 1e-45], [3e38, 3e38, -3e38]], np.float32)
    assert np.array_equal(reduce.max(x, 1, backend=backend), x.max(1), equal_nan=True)
    assert np.array_equal(reduce.min(x, 1, backend=backend), x.min(1), equal_nan=True)
    with np.errstate(all="ignore"):
        assert np.isnan(reduce.sum(x, 1, backend=backend)[:2]).all()
    assert np.array_equal(arg_reduce.argmax(x, 1, backend=backend), [1, 0, 1, 0])
    assert np.array_equal(arg_reduce.argmin(x, 1, backend=backend), [1, 2, 2, 2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_indices_of_extremes(backend: str) -> None:
    for x in layouts().values():
        for axis in (None, 1, -1) if x.size else (1,):
            x = np.round(x)
            assert np.array_equal(arg_reduce.argmax(x, axis, backend=backend), np.argmax(x, axis=axis))
            got = arg_reduce.argmin(x, axis, keepdims=True, backend=backend)
            assert np.array_equal(got, np.argmin(x, axis=axis, keepdims=True))
    lowest = np.full((2, 5), -np.inf, np.float32)
    assert np.array_equal(arg_reduce.argmax(lowest, 1, backend=backend), [0, 0])


@pytest.mark.parametrize("order", [None, 1, 2, 3, 0.5, 0, np.inf, -np.inf])
def test_norms(order: float | None) -> None:
    x = layouts()["transposed"]
    for backend in ("numpy", None):
        got = reduce.norm(x, order, (0, 2), backend=backend)
        flat = x.transpose(1, 3, 0, 2).reshape(7, 5, -1)
        want = np.array([[np.linalg.norm(v.astype(np.float64), order) for v in row] for row in flat])
        assert np.allclose(got, want, rtol=2e-5)


def test_elements_can_be_chosen() -> None:
    x = layouts()["transposed"].copy()
    where = x > 0
    assert np.array_equal(reduce.count_nonzero(x > 1, (0, 2), where=where), np.sum((x > 1) & where, axis=(0, 2)))
    kept = np.where(where, x.astype(np.float64), 0)
    assert np.allclose(reduce.norm(x, 2, 1, where=where), np.sqrt((kept**2).sum(1)), rtol=1e-6)
    assert np.array_equal(reduce.norm(x, np.inf, where=np.zeros_like(where)), np.float32(0))
    found = logsumexp.logsumexp(x, (0, 2), where=where)
    with np.errstate(divide="ignore"):
        want = np.log(np.where(where, np.exp(x.astype(np.float64)), 0).sum((0, 2)))
    assert np.allclose(found, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mean_of_large_integers_does_not_wrap(backend: str) -> None:
    x = np.full((3, 1000), 2**62, np.int64)
    x[1] *= -1
    assert np.array_equal(reduce.mean(x, 1, backend=backend), np.float32([2.0**62, -(2.0**62), 2.0**62]))


@pytest.mark.parametrize("n", [256, 1023, 2500, 70000])
def test_long_rows_of_extremes(n: int) -> None:
    x = np.round(np.random.default_rng(n).standard_normal((3, n)) * 9).astype(np.float32)
    for axis in (1, None):
        assert np.array_equal(arg_reduce.argmax(x, axis), np.argmax(x, axis=axis))
        assert np.array_equal(arg_reduce.argmin(x, axis), np.argmin(x, axis=axis))
    x[1, n // 2 :: 7] = np.nan
    x[2] = -np.inf
    assert np.array_equal(arg_reduce.argmax(x, 1), np.argmax(x, axis=1))


def test_torch_keeps_its_type() -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(60, dtype=torch.bfloat16).reshape(3, 4, 5)
    got = reduce.sum(x, (0, 2), keepdims=True)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, x.float().sum((0, 2), keepdim=True).bfloat16())
    assert reduce.max(x.transpose(0, 1) > 3, 1).tolist() == (x.transpose(0, 1) > 3).any(1).tolist()
    assert int(arg_reduce.argmax(x)) == 59


def test_the_triton_interpreter() -> None:
    pytest.importorskip("triton")
    x = layouts()["transposed"]
    got = reduce.sum(x, (0, 2), backend="triton", device="interpreter")
    assert np.allclose(got, x.sum((0, 2)), atol=1e-3)


def test_refusals_name_the_argument() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ArgumentShapeError, match=r"sum\(\): axis"):
        reduce.sum(x, 2)
    with pytest.raises(ArgumentShapeError, match="once"):
        reduce.sum(x, (0, -2))
    with pytest.raises(ArgumentDTypeError, match=r"sum\(\): x: expected"):
        reduce.sum(x.astype(complex))
    with pytest.raises(ArgumentShapeError, match=r"max\(\): out"):
        reduce.max(x, 0, out=np.empty(2, np.float32))
    with pytest.raises(ArgumentDTypeError, match="where"):
        reduce.sum(x, where=x)
    with pytest.raises(ArgumentShapeError, match="broadcasts"):
        reduce.sum(x, where=np.ones(2, bool))
    with pytest.raises(ArgumentTypeError, match="initial"):
        reduce.max(x, where=x > 0)
    with pytest.raises(ArgumentTypeError, match="ord"):
        reduce.norm(x, -1)
