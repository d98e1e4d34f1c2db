"""Embedding, gathers, scatter-add, pad, concatenate, copies: as NumPy's."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog
from portkernel.catalog import gamma, ratio, rounding
from portkernel.errors import ArgumentDTypeError, ArgumentShapeError, DeviceAssertionError

catalog.package()
embedding = importlib.import_module("portkernel.kernels.embedding")
scatter = importlib.import_module("portkernel.kernels.scatter")

OPENCL = pytest.param("opencl", marks=pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL"))
BACKENDS = ["numpy", OPENCL]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_embedding(backend: str) -> None:
    table, indices = rng().standard_normal((11, 5)).astype(np.float32), rng().integers(-11, 11, (4, 7))
    assert np.array_equal(embedding.embedding(indices, table, backend=backend), table[indices])
    assert np.array_equal(embedding.embedding(indices.T, table[:, ::-1], backend=backend), table[:, ::-1][indices.T])
    out = np.zeros((7, 4, 5), np.float32).transpose(1, 0, 2)
    assert embedding.embedding(indices, table, out=out, backend=backend) is out
    assert np.array_equal(out, table[indices])
    assert embedding.embedding(indices[:0], table, backend=backend).shape == (0, 7, 5)
    with pytest.raises(DeviceAssertionError):
        embedding.embedding(np.array([11]), table, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("count", "rows"), [(1, 1), (300, 7), (9001, 50), (0, 3)])
def test_embedding_gradient(backend: str, count: int, rows: int) -> None:
    indices = rng().integers(0, rows, (count,))
    grad = rng().standard_normal((count, 5)).astype(np.float32)
    want, size = np.zeros((rows, 5)), np.zeros((rows, 5))
    np.add.at(want, indices, grad)
    np.add.at(size, indices, np.abs(grad))
    got = embedding.embedding_gradient(grad, indices, rows, backend=backend)
    assert ratio(got, want, gamma(max(count, 1), pk.float32) * size + rounding(want, pk.float32)) <= 1
    assert np.array_equal(got, embedding.embedding_gradient(grad, indices, rows, backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scatter_add(backend: str, axis: int) -> None:
    x = rng().integers(-9, 9, (3, 9, 4)).astype(np.int32)
    indices = rng().integers(-x.shape[axis], x.shape[axis], 20)
    source = rng().integers(-9, 9, np.where(np.arange(3) == axis % 3, 20, x.shape)).astype(np.int32)
    want = np.moveaxis(x.copy(), axis, 0)
    np.add.at(want, indices, np.moveaxis(source, axis, 0))
    want = np.moveaxis(want, 0, axis)
    for atomic in (False, True):
        assert np.array_equal(scatter.scatter_add(x, axis, indices, source, atomic=atomic, backend=backend), want)
    got = scatter.scatter_add(x.astype(np.float16), axis, indices, source.astype(np.float16), backend=backend)
    assert np.array_equal(got, want.astype(np.float16))
    mine = x.copy()
    assert scatter.scatter_add(mine, axis, indices, source, out=mine, backend=backend) is mine
    assert np.array_equal(mine, want)


def test_refusals() -> None:
    table = np.ones((3, 4), np.float32)
    with pytest.raises(ArgumentDTypeError, match="indices: expected int64, int32"):
        embedding.embedding(np.ones(3, np.float32), table)
    with pytest.raises(ArgumentShapeError, match="table"):
        embedding.embedding(np.ones(3, np.int64), table[0])
    with pytest.raises(ArgumentShapeError, match="grad"):
        embedding.embedding_gradient(table, np.ones(2, np.int64), 3)
    with pytest.raises(ArgumentShapeError, match="source"):
        scatter.scatter_add(table, 0, np.ones(2, np.int64), table)
    with pytest.raises(ArgumentDTypeError, match="atomic"):
        scatter.scatter_add(table, 0, np.ones(3, np.int64), table, atomic=True)


gather = importlib.import_module("portkernel.kernels.gather")
pad = importlib.import_module("portkernel.kernels.pad")


@pytest.mark.parametrize("backend", BACKENDS)
def test_gathers(backend: str) -> None:
    x = rng().standard_normal((3, 7, 5, 4)).astype(np.float32)
    for t in (x, x.transpose(2, 0, 3, 1), x[::-1, :, ::2]):
        for axis in (0, 1, -1):
            n = t.shape[axis]
            vector = rng().integers(-n, n, 9)[::2]
            assert np.array_equal(gather.take(t, vector, axis, backend=backend), np.take(t, vector, axis))
            shape = [6 if i == axis % 4 else k for i, k in enumerate(t.shape)]
            full = rng().integers(0, n, shape)
            got = gather.take_along_axis(t, full, axis, backend=backend)
            assert np.array_equal(got, np.take_along_axis(t, full, axis))
    one = np.array([[[[2]]]])
    assert np.array_equal(gather.take_along_axis(x, one, 1, backend=backend), np.take_along_axis(x, one, 1))
    assert gather.take(x, one.ravel()[:0], 1, backend=backend).shape == (3, 0, 5, 4)
    with pytest.raises(DeviceAssertionError):
        gather.take(x, np.array([7]), 1, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_pad(backend: str, mode: str) -> None:
    x = rng().integers(-9, 9, (2, 5, 7)).astype(np.int16)
    for t in (x, x.T, x[:, ::-1, ::3]):
        for width in (2, (1, 3), ((0, 1), (4, 0), (9, 2)), 0):
            assert np.array_equal(pad.pad(t, width, mode, backend=backend), np.pad(t, width, mode))
    assert np.array_equal(pad.pad(x, 1, constant_values=7, backend=backend), np.pad(x, 1, constant_values=7))
    one = np.ones((1, 2), np.float32)
    assert np.array_equal(pad.pad(one, 2, mode, backend=backend), np.pad(one, 2, mode))


@pytest.mark.parametrize("backend", BACKENDS)
def test_concatenate_and_copy(backend: str) -> None:
    a, b = np.arange(24, dtype=np.int32).reshape(2, 3, 4), np.ones((2, 5, 4), np.int32)
    assert np.array_equal(pad.concatenate([a, b, a[:, :0]], 1, backend=backend), np.concatenate([a, b], 1))
    mixed = pad.concatenate([a, a.astype(np.float32)], -1, backend=backend)
    assert mixed.dtype == np.float32
    for x in (a, a[:, ::-2], np.broadcast_to(a[:1], (3, 3, 4))):
        got = pad.transposed_copy(x, (2, 0, 1), backend=backend)
        assert got.flags.c_contiguous
        assert np.array_equal(got, x.transpose(2, 0, 1))
        assert np.array_equal(pad.transposed_copy(x, backend=backend), x.T)


def test_refusals_of_pad_and_gather() -> None:
    x = np.ones((3, 4), np.float32)
    with pytest.raises(pk.errors.ArgumentError, match="mode"):
        pad.pad(x, 1, "wrap")
    with pytest.raises(ArgumentShapeError, match="pad_width"):
        pad.pad(x, -1)
    with pytest.raises(ArgumentShapeError, match="elements along"):
        pad.pad(x[:0], 1, "edge")
    with pytest.raises(ArgumentShapeError, match=r"arrays\[1\]"):
        pad.concatenate([x, x[:, :2]])
    with pytest.raises(ArgumentShapeError, match="axes"):
        pad.transposed_copy(x, (0, 0))
    with pytest.raises(ArgumentShapeError, match="vector"):
        gather.take(x, np.ones((1, 1), np.int64), 0)
