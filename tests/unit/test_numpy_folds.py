"""The reference backend: reductions, scans, user combines, dot products, shapes."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from ir_tracing import run, tensor, trace

import portkernel.lang as pk
from portkernel.backends.numpy import execute
from portkernel.dtypes import BY_NAME, bfloat16, float32, int32, int64

RNG = np.random.default_rng(2)


def tiles(fn, *xs):
    """``fn`` of whole arrays as one tile each."""
    names = [f"x{i}" for i in range(len(xs))]
    args = dict(zip(names, xs, strict=True))
    types = {n: tensor(x.dtype, x.ndim) for n, x in args.items()}
    seen = []

    def load(p, x):
        return pk.load(p, (0,) * x.ndim, x.shape)

    trace(lambda *ps: seen.append(fn(*(load(p, x) for p, x in zip(ps, xs, strict=True))).type), types)
    out = np.zeros(seen[0].shape, seen[0].dtype.np)

    def kernel(*params):
        result = fn(*(load(p, x) for p, x in zip(params, xs, strict=False)))
        pk.store(params[-1], (0,) * result.ndim, result)

    func = trace(kernel, {**types, "out": tensor(seen[0].dtype, out.ndim)})
    execute(func, (1, 1, 1), {**args, "out": out}, 1 << 20)
    return out


@pytest.mark.parametrize("axis", [0, 1, 2, -1, None, (0, 2)])
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_reductions_equal_numpy(name, axis):
    x = RNG.integers(-3, 4, (3, 5, 7)).astype(np.int64)
    np.testing.assert_array_equal(tiles(lambda t: getattr(pk, name)(t, axis), x), getattr(np, name)(x, axis=axis))


def test_sums_of_sixteen_bit_floats_accumulate_in_float32():
    for dtype in (np.float16, ml_dtypes.bfloat16):
        x = np.full(5000, 1.0, np.float32).astype(dtype)
        assert float(tiles(pk.sum, x)) == float(np.array(5000, dtype))


def test_extremes_propagate_nan_and_find_the_first():
    x = np.array([[1, np.nan, 3, np.nan], [2, 5, 5, 1], [-np.inf, -np.inf, -np.inf, -np.inf]], np.float32)
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        y = x.astype(dtype)
        np.testing.assert_array_equal(tiles(lambda t: pk.max(t, 1), y).astype(float), [np.nan, 5, -np.inf])
        np.testing.assert_array_equal(tiles(lambda t: pk.min(t, 1), y).astype(float), [np.nan, 1, -np.inf])
        assert tiles(lambda t: pk.argmax(t, 1), y).tolist() == [1, 1, 0]
        assert tiles(lambda t: pk.argmin(t, 1), y).tolist() == [1, 3, 0]


def test_bool_folds():
    x = np.array([[True, False], [True, True], [False, False]])
    assert tiles(lambda t: pk.any(t, 1), x).tolist() == [True, True, False]
    assert tiles(lambda t: pk.all(t, 1), x).tolist() == [False, True, False]
    assert tiles(lambda t: pk.xor_sum(t, 1), x).tolist() == [True, False, False]


def test_integer_folds_wrap_in_their_dtype():
    x = np.full(200, 100, np.int8)
    assert tiles(lambda t: pk.sum(t, dtype="int8"), x) == np.array(20000).astype(np.int8)
    assert tiles(pk.sum, x) == 20000


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_scans(axis, reverse):
    x = RNG.integers(-9, 9, (4, 6)).astype(np.int32)
    flip = (lambda a: np.flip(a, axis)) if reverse else (lambda a: a)
    for name, fn in (("cumsum", np.cumsum), ("cummax", np.maximum.accumulate), ("cumprod", np.cumprod)):
        expected = flip(fn(flip(x.astype(np.int64)), axis=axis))
        np.testing.assert_array_equal(tiles(lambda t, n=name: getattr(pk, n)(t, axis, reverse=reverse), x), expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_combine_keeps_the_order(axis):
    """An affine map composed along the axis: associative, not commutative."""
    a, b = RNG.integers(-2, 3, (2, 3, 4, 5)).astype(np.int64)

    def compose(a0, b0, a1, b1):
        return a0 * a1, b0 * a1 + b1

    def expected(reverse):
        out = []
        order = range(a.shape[axis])[::-1] if reverse else range(a.shape[axis])
        ra, rb = None, None
        for i in order:
            na, nb = a.take(i, axis), b.take(i, axis)
            ra, rb = (na, nb) if ra is None else (ra * na, rb * na + nb)
            out.append(rb)
        return np.stack(out[::-1] if reverse else out, axis)

    np.testing.assert_array_equal(
        tiles(lambda x, y: pk.reduce((x, y), axis, compose)[1], a, b), expected(False).take(-1, axis)
    )
    for reverse in (False, True):
        found = tiles(lambda x, y, r=reverse: pk.scan((x, y), axis, compose, reverse=r)[1], a, b)
        np.testing.assert_array_equal(found, expected(reverse))


def test_combine_may_use_values_of_its_program():
    def kernel(x, out):
        i = pk.program_id(0)
        scale = pk.gather(x, (i, 0))
        row = pk.load(x, (0, 0), (3, 4))
        pk.store(out, (i, 0), pk.reshape(pk.reduce(row, 1, lambda p, q: p + q * scale), (1, 3)))

    x = RNG.integers(-5, 5, (3, 4)).astype(np.int64)
    out = np.zeros((3, 3), np.int64)
    run(kernel, 3, x=x, out=out)
    expected = [[r[0] + sum(r[1:] * x[i, 0]) for r in x] for i in range(3)]
    assert out.tolist() == expected


def test_combine_of_program_ids():
    def kernel(out):
        ones = pk.ones((3,), int32)
        pk.scatter(out, pk.program_id(0), pk.reduce(ones, 0, lambda a, b: a + b * pk.program_id(0)))

    out = np.zeros(4, np.int32)
    run(kernel, 4, out=out)
    assert out.tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_float_dots(dtype):
    k = 37
    a = RNG.standard_normal((2, 17, k)).astype(BY_NAME[dtype].np)
    b = RNG.standard_normal((2, k, 5)).astype(BY_NAME[dtype].np)
    acc = np.float64 if dtype == "float64" else np.float32
    found = tiles(lambda x, y: pk.dot(x, y, pk.ones((2, 17, 5), acc)), a, b)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    unit = 2.0**-53 if dtype == "float64" else 2.0**-24
    bound = 2 * (k + 1) * unit * (np.abs(wide_a) @ np.abs(wide_b) + 1)
    assert found.dtype == acc
    assert (np.abs(found - (wide_a @ wide_b + 1)) <= bound).all()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_integer_dots_wrap(dtype):
    d = BY_NAME[dtype]
    a = RNG.integers(d.min, d.max, (6, 50), d.np, endpoint=True)
    b = RNG.integers(d.min, d.max, (50, 3), d.np, endpoint=True)
    acc = int64 if d.bits == 64 else int32
    found = tiles(lambda x, y: pk.dot(x, y, pk.full((6, 3), 5, acc)), a, b)
    exact = a.astype(object) @ b.astype(object) + 5
    expected = [[(v + 2 ** (acc.bits - 1)) % 2**acc.bits - 2 ** (acc.bits - 1) for v in row] for row in exact.tolist()]
    assert found.tolist() == expected


def test_tf32_rounds_operands_ties_away():
    one = np.float32(1)
    cases = np.array([[1 + 2.0**-11, -1 - 2.0**-11, 1 + 2.0**-12, 1 + 3 * 2.0**-11, np.inf]], np.float32).T
    found = tiles(lambda x, y: pk.dot(x, y, pk.zeros((5, 1), float32), precision="tf32"), cases, np.array([[one]]))
    assert found.ravel().tolist() == [1 + 2.0**-10, -1 - 2.0**-10, 1, 1 + 2 * 2.0**-10, np.inf]


def test_shapes():
    x = RNG.integers(0, 99, (2, 3, 4)).astype(np.int32)
    np.testing.assert_array_equal(tiles(lambda t: pk.transpose(t, (2, 0, 1)), x), x.transpose(2, 0, 1))
    np.testing.assert_array_equal(tiles(lambda t: pk.reshape(t, (6, -1)), x), x.reshape(6, 4))
    np.testing.assert_array_equal(tiles(lambda t: pk.concatenate((t, t + 1), 1), x), np.concatenate((x, x + 1), 1))
    np.testing.assert_array_equal(tiles(lambda t: pk.extract(t, (1, 0, 1), (1, 3, 2)), x), x[1:, :, 2:])
    np.testing.assert_array_equal(
        tiles(lambda t: pk.broadcast_to(pk.sum(t, 1, keepdims=True, dtype=int32), (2, 3, 4)), x),
        np.broadcast_to(x.sum(1, keepdims=True), x.shape),
    )
    np.testing.assert_array_equal(tiles(lambda t: pk.arange(-2, 4) + 0 * pk.sum(t, dtype=int32), x), np.arange(-2, 4))


def test_concatenate_mixes_uniform_and_varying():
    def kernel(out):
        i = pk.program_id(0)
        pk.store(out, (i, 0), pk.reshape(pk.concatenate((pk.zeros(2, int32), pk.full(2, i))), (1, 4)))

    out = np.full((3, 4), 9, np.int32)
    run(kernel, 3, out=out)
    assert out.tolist() == [[0, 0, i, i] for i in range(3)]


def test_mean_of_bfloat16():
    x = np.full((3, 64), 1.0078125, np.float32).astype(bfloat16.np)
    assert (tiles(lambda t: pk.mean(t, 1), x) == x[:, 0]).all()
