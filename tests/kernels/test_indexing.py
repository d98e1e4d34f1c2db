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
