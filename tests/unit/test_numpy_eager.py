"""The eager builder: plain Python control flow over concrete tiles."""

from __future__ import annotations

import numpy as np
import pytest

import portkernel.lang as pk
from portkernel.backends.numpy import EagerBuilder
from portkernel.dtypes import as_dtype, float32
from portkernel.errors import DeviceAssertionError
from portkernel.ir import Tensor, Tile, Value, use
from portkernel.lang.values import TensorValue, TileValue


def eager(fn, grid, **args):
    values = {}
    for name, a in args.items():
        if isinstance(a, np.ndarray):
            values[name] = Value(Tensor(a.ndim, as_dtype(a.dtype), (None,) * a.ndim, (None,) * a.ndim), name)
        else:
            values[name] = Value(Tile((), float32), name)
    tensors = {values[n]: a for n, a in args.items()}
    for z in range(grid[2]):
        for y in range(grid[1]):
            for x in range(grid[0]):
                with use(EagerBuilder((x, y, z), grid, tensors)):
                    fn(*(TensorValue(v) if isinstance(v.type, Tensor) else TileValue(v) for v in values.values()))


def test_matmul_with_python_loops():
    def kernel(a, b, out):
        i, j = pk.program_id(0), pk.program_id(1)
        acc = pk.zeros((8, 8), float32)
        for k in range(pk.cdiv(a.shape[1], 4)):
            acc = pk.dot(pk.load(a, (i, k), (8, 4)), pk.load(b, (k, j), (4, 8)), acc)
        pk.store(out, (i, j), acc)

    rng = np.random.default_rng(0)
    a, b = rng.integers(-4, 5, (13, 11)).astype(np.float32), rng.integers(-4, 5, (11, 10)).astype(np.float32)
    out = np.full((13, 10), np.nan, np.float32)
    eager(kernel, (2, 2, 1), a=a, b=b, out=out)
    np.testing.assert_array_equal(out, a @ b)


def test_branches_prints_and_scalars(capsys):
    def kernel(s, out):
        if s > 0:
            print("positive", pk.load(out, 0, 2))
        total = pk.reduce(pk.load(out, 0, 2), 0, lambda a, b: a + b * s)
        assert float(total) == 1 + 2 * 2.5
        while total > 1:
            total = total / 2
        pk.store(out, 0, pk.full((1,), total))

    out = np.array([1, 2], np.float32)
    eager(kernel, (1, 1, 1), s=2.5, out=out)
    assert capsys.readouterr().out == "positive array([1., 2.], dtype=float32)\n"
    assert out.tolist() == [0.75, 2]


def test_assert_raises_at_once():
    reached = []

    def kernel(out):
        pk.device_assert(pk.load(out, 0, 2) > 1, "too small")
        reached.append(1)

    with pytest.raises(DeviceAssertionError, match="too small"):
        eager(kernel, (1, 1, 1), out=np.ones(2, np.float32))
    assert not reached


def test_values_of_an_open_scope_are_not_concrete():
    seen = []

    def combine(a, b):
        seen.append(pk.OPERATORS and repr(a))
        return a * b

    def kernel(out):
        pk.store(out, 0, pk.full((1,), pk.reduce(pk.load(out, 0, 3), 0, combine)))

    out = np.array([2, 3, 4], np.float32)
    eager(kernel, (1, 1, 1), out=out)
    assert seen == ["<float32>"]
    assert out[0] == 24
