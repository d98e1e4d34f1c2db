"""Running folds and sorts along any axis."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import gamma
from portkernel.errors import ArgumentDTypeError, ArgumentShapeError

catalog.package()
scans = importlib.import_module("portkernel.kernels.cumsum")

OPENCL = pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))
BACKENDS = ["numpy", OPENCL]


def layouts() -> list[np.ndarray]:
    x = np.random.default_rng(5).standard_normal((3, 7, 5, 4)).astype(np.float32)
    return [x, x.transpose(2, 0, 3, 1), x[::-1, :, ::2], x[:0], np.broadcast_to(x[:1], x.shape)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [None, 0, 1, -1], ids=str)
def test_running_folds(backend: str, axis: int | None) -> None:
    for x in layouts():
        assert np.allclose(scans.cumsum(x, axis, backend=backend), np.cumsum(x, axis), atol=2e-4)
        assert np.array_equal(
            scans.cummax(x, axis, backend=backend),
            np.maximum.accumulate(x if axis is not None else x.ravel(), axis or 0),
        )
    small = layouts()[0]
    assert np.allclose(
        scans.cumprod(small, axis, backend=backend), np.cumprod(small.astype(float), axis), rtol=1e-4, atol=1e-30
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_long_lines(backend: str) -> None:
    x = np.random.default_rng(1).random((2, 200_001)).astype(np.float32)
    want = np.cumsum(x, 1, dtype=np.float64)
    assert (np.abs(scans.cumsum(x, 1, backend=backend) - want) <= gamma(200_001, pk.float32) * want).all()
    assert np.array_equal(scans.cummax(x, 1, backend=backend), np.maximum.accumulate(x, 1))
    x[0, 150_000] = np.nan
    got = scans.cummax(x, 1, backend=backend)
    assert np.array_equal(got, np.maximum.accumulate(x, 1), equal_nan=True)
    whole = np.full(140_000, 3, np.int8)
    assert np.array_equal(scans.cumsum(whole, backend=backend), np.cumsum(whole, dtype=np.int64))


@pytest.mark.parametrize("backend", BACKENDS)
def test_chunks_are_made_of_whole_tiles(backend: str) -> None:
    """Sizes that are measured instead of chosen may be others than powers of two: those would leave elements out."""
    x = np.ones((1, 1, scans.CHUNK + 5), np.float32)
    ends = np.zeros((1, 1, 2), np.float32)
    with pytest.raises(pk.errors.DeviceAssertionError, match="whole tiles"):
        scans.scan_lines[(2,)](x, ends, np.empty_like(x), CHUNKS=True, BM=1, BN=96, backend=backend)
    out = np.empty_like(x)
    scans.scan_lines[(1,)](x, ends, out, BM=1, BN=96, backend=backend)
    assert out[0, 0, -1] == x.size


def test_dtypes_and_out() -> None:
    x = np.arange(-10, 10, dtype=np.int8)
    assert scans.cumsum(x).dtype == np.int64
    assert scans.cumsum(x, dtype="int8").dtype == np.int8
    assert scans.cumsum(x > 0).tolist() == np.cumsum(x > 0).tolist()
    half = np.linspace(0, 1, 50).astype(np.float16)
    assert np.array_equal(scans.cumsum(half), np.cumsum(half.astype(np.float32)).astype(np.float16))
    out = np.zeros((5, 8), np.float32)[:, ::-2]
    y = np.ones((5, 4), np.float32)
    assert scans.cumsum(y, 1, out=out) is out
    assert np.array_equal(out, np.cumsum(y, 1))
    with pytest.raises(ArgumentShapeError, match="axis"):
        scans.cumsum(y, 2)
    with pytest.raises(ArgumentDTypeError, match="out"):
        scans.cumsum(y, 1, out=np.zeros((5, 4)))


sorts = importlib.import_module("portkernel.kernels.sort")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sorts(backend: str, axis: int) -> None:
    for x in layouts():
        x = np.round(x * 2)
        values, places = sorts.sort(x, axis, backend=backend)
        assert np.array_equal(values, np.sort(x, axis))
        assert np.array_equal(places, np.argsort(x, axis, kind="stable"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int32", "uint8"])
def test_long_sorts_and_topk(backend: str, dtype: str) -> None:
    x = np.random.default_rng(1).integers(0, 100, (3, 1001)).astype(dtype)
    if dtype.startswith("float"):
        x[1, ::50], x[2, 7] = np.nan, -np.inf
    values, places = sorts.sort(x, backend=backend)
    assert np.array_equal(values, np.sort(x), equal_nan=dtype.startswith("float"))
    assert np.array_equal(places, np.argsort(x, kind="stable"))
    top, where = sorts.topk(x, 5, backend=backend)
    want = np.argsort(np.flip(x, 1), kind="stable")[:, ::-1][:, :5]
    assert np.array_equal(where, 1000 - want)
    assert np.array_equal(top, np.take_along_axis(x, where, 1), equal_nan=dtype.startswith("float"))
    least, _ = sorts.topk(x.T, 3, 0, largest=False, backend=backend)
    assert np.array_equal(least, np.sort(x.T, 0)[:3], equal_nan=dtype.startswith("float"))


@pytest.mark.parametrize(
    ("n", "k", "dtype"),
    [
        *((n, k, "float32") for n, k in ((1, 1), (31, 31), (1000, 1), (4097, 33), (700, 64), (300, 65))),
        *((1000, 17, dtype) for dtype in ("int32", "float16", "bool")),
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_topk_is_the_beginning_of_the_stable_sort(backend: str, dtype: str, n: int, k: int) -> None:
    x = np.random.default_rng(n).integers(0, 2 if dtype == "bool" else 50, (2, n, 2)).astype(dtype)
    if dtype.startswith("float"):
        x[1, ::7], x[0, n // 2] = np.nan, -np.inf
    for given in (x, x[:, ::-1]):
        for largest in (True, False):
            values, places = sorts.sort(given, 1, largest, backend=backend)
            top, where = sorts.topk(given, k, 1, largest, backend=backend)
            assert np.array_equal(where, places[:, :k])
            assert np.array_equal(top, values[:, :k], equal_nan=dtype.startswith("float"))


def test_topk_of_few_does_not_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the whole axis is merged."""
    monkeypatch.setattr(sorts, "merge_runs", None)
    top, where = sorts.topk(np.arange(5000.0).reshape(1, -1), 3, backend="numpy")
    assert top.tolist() == [[4999.0, 4998.0, 4997.0]]
    assert where.tolist() == [[4999, 4998, 4997]]


def test_refusals_of_sorts() -> None:
    with pytest.raises(ArgumentShapeError, match=r"topk\(\): k"):
        sorts.topk(np.ones((2, 3), np.float32), 4)
    with pytest.raises(ArgumentShapeError, match="axis"):
        sorts.sort(np.ones(3, np.float32), 1)
