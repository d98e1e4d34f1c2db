"""Writing to places, resampling by tables, suppressing boxes, determinants: as NumPy does it."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from portkernel import catalog
from portkernel.errors import ArgumentError, ArgumentShapeError, DeviceAssertionError

catalog.package()
put_along_axis = importlib.import_module("portkernel.kernels.put").put_along_axis
resample = importlib.import_module("portkernel.kernels.resample").resample
greedy_suppress = importlib.import_module("portkernel.kernels.suppress").greedy_suppress
det = importlib.import_module("portkernel.kernels.determinant").det

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("strided", [False, True])
def test_put_takes_the_last_of_equals(axis: int, strided: bool) -> None:
    x = RNG.standard_normal((5, 6, 7)).astype(np.float32)
    x = x.transpose(2, 0, 1)[::-1] if strided else x
    n = x.shape[axis]
    shape = list(x.shape)
    shape[axis] = 9
    indices = RNG.integers(-n, n, shape)
    source = RNG.standard_normal(shape).astype(np.float32)
    want = x.copy()
    moved, where, values = (np.moveaxis(t, axis, -1) for t in (want, indices, source))
    for place in np.ndindex(where.shape):
        moved[(*place[:-1], where[place])] = values[place]
    got = put_along_axis(x, indices, source, axis, backend="numpy")
    assert np.array_equal(got, want)
    assert not np.shares_memory(got, x)


@pytest.mark.parametrize(
    ("mode", "fold"), [("sum", np.add), ("prod", np.multiply), ("max", np.maximum), ("min", np.minimum)]
)
def test_put_combines_in_order(mode: str, fold: np.ufunc) -> None:
    x = RNG.integers(-5, 6, (3, 8)).astype(np.int32)
    indices, source = RNG.integers(0, 8, (3, 20)), RNG.integers(-5, 6, (3, 20)).astype(np.int32)
    want = x.copy()
    for i in range(3):
        fold.at(want[i], indices[i], source[i])
    assert np.array_equal(put_along_axis(x, indices, source, 1, mode, backend="numpy"), want)


def test_put_in_place_and_empty() -> None:
    x = np.zeros((2, 4), np.float32)
    assert put_along_axis(x, np.array([[1], [2]]), np.ones((2, 1), np.float32), 1, out=x, backend="numpy") is x
    assert x[0, 1] == x[1, 2] == 1
    same = put_along_axis(x, np.zeros((2, 0), np.int64), np.zeros((2, 0), np.float32), 1, backend="numpy")
    assert np.array_equal(same, x)


def test_put_refuses() -> None:
    x = np.zeros((2, 4), np.float32)
    with pytest.raises(ArgumentError, match="reduce"):
        put_along_axis(x, np.zeros((2, 1), np.int64), x[:, :1], 1, "mean")
    with pytest.raises(ArgumentShapeError, match="indices"):
        put_along_axis(x, np.zeros((3, 1), np.int64), x[:, :1], 1)
    with pytest.raises(DeviceAssertionError):
        put_along_axis(x, np.full((2, 1), 4), x[:, :1], 1, backend="numpy")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_resample(axis: int) -> None:
    x = RNG.standard_normal((4, 5, 65)).transpose(0, 2, 1)
    n = x.shape[axis]
    indices, weights = RNG.integers(-n, n, (3, 67)), RNG.standard_normal((3, 67))
    spread = weights.reshape([*[1] * axis, 3, 67, *[1] * (2 - axis)])
    want = (np.take(x, indices, axis=axis) * spread).sum(axis=axis)
    assert np.allclose(resample(x, indices, weights, axis, backend="numpy"), want, rtol=1e-12, atol=1e-12)


def test_resample_refuses() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ArgumentShapeError, match="matrix"):
        resample(x, np.zeros((1, 2), np.int64), np.ones((1, 3), np.float32))


def test_boxes_that_stay() -> None:
    overlap = np.float32([[1, 0.9, 0.2], [0.9, 1, 0.9], [0.2, 0.9, 1]])[None]
    assert greedy_suppress(overlap, 0.5, backend="numpy").tolist() == [[True, False, True]]
    with pytest.raises(ArgumentShapeError, match="overlap"):
        greedy_suppress(overlap[0], 0.5)


@pytest.mark.parametrize("n", [1, 2, 7, 33])
def test_determinants(n: int) -> None:
    x = RNG.standard_normal((3, n, n))
    assert np.allclose(det(x, backend="numpy"), np.linalg.det(x), rtol=1e-10)
    x[1] = 0
    assert det(x, backend="numpy")[1] == 0
    with pytest.raises(ArgumentShapeError, match="square"):
        det(x[:, :1, :][:, :, :1].repeat(2, axis=1))
