"""The reference backend: loads, stores, gathers, scatters and atomics."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from ir_tracing import if_, run, tensor, trace

import portkernel.lang as pk
from portkernel.backends.numpy import execute
from portkernel.dtypes import float32, int64

RNG = np.random.default_rng(1)


def copy_kernel(bm, bn, pad=0.0):
    def kernel(x, out):
        i, j = pk.program_id(0), pk.program_id(1)
        pk.store(out, (i, j), pk.load(x, (i, j), (bm, bn), pad=pad))

    return kernel


BASE = np.arange(40 * 40, dtype=np.float32).reshape(40, 40)
VIEWS = {
    "contiguous": BASE[:17, :23].copy(),
    "rows": BASE[::2, 3:20],
    "negative": BASE[30:3:-1, 25:5:-2],
    "transposed": BASE[:10, :33].T,
    "zero stride": np.broadcast_to(BASE[0, :19], (13, 19)),
    "one element": BASE[3:4, 4:5],
    "empty": BASE[:0, :5],
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("block", [(1, 1), (3, 17), (8, 8), (48, 100)])
def test_copies_of_any_strides(name, block):
    x = VIEWS[name]
    storage = np.full((2 * x.shape[0] + 2, x.shape[1] + 2), np.nan, np.float32)
    out = storage[1:-1:2, 1:-1][::-1]
    grid = tuple(max(1, -(-n // b)) for n, b in zip(x.shape, block, strict=True))
    run(copy_kernel(*block), grid, x=x, out=out)
    np.testing.assert_array_equal(out, x)
    out[...] = np.nan
    assert np.isnan(storage).all()  # nothing outside the view was written


def test_padding_on_both_sides():
    def kernel(x, out):
        pk.store(out, (0, 0), pk.reshape(pk.load(x, pk.program_id(0) - 1, 4, pad=-5), (1, 4)))

    x = np.arange(1, 4, dtype=np.int32)
    out = np.zeros((1, 4), np.int32)
    run(kernel, 1, x=x, out=out)
    assert out.tolist() == [[-5, -5, -5, -5]]

    def shifted(x, out):
        from portkernel.ir import Load, Store, Tile
        from portkernel.lang.values import TileValue, as_tile, builder

        b = builder()
        offset, pad = as_tile(-2, "x", int64), as_tile(9, "x", x.dtype)
        made = b.emit(Load, (Tile((6,), x.dtype),), tensor=x.value, offsets=(offset.value,), pad=pad.value)
        b.emit(Store, (), tensor=out.value, offsets=(offset.value,), value=(TileValue(made.result) * 2).value)

    out = np.zeros(3, np.int32)
    run(shifted, 1, x=x, out=out)
    assert out.tolist() == [2, 4, 6]


def test_far_offsets_neither_wrap_nor_fail():
    def kernel(x, at, out):
        i = pk.program_id(0)
        pk.scatter(out, i, pk.reshape(pk.load(x, pk.gather(at, i), 1, pad=-1), ()))
        pk.store(x, pk.gather(at, i) + 3, pk.full((1,), 8, x.dtype))

    at = np.array([2**63 - 1, -(2**63), 0, 2**33], np.int64)
    x, out = np.array([5, 6], np.int32), np.zeros(4, np.int32)
    run(kernel, 4, x=x, at=at, out=out)
    assert out.tolist() == [-1, -1, 5, -1]
    assert x.tolist() == [5, 6]


def test_zero_d_and_five_d():
    def kernel(x, y, out):
        pk.store(out, (0, 0, 0, 0, 0), pk.load(y, (0, 0, 0, 0, 0), (2, 1, 3, 2, 3)) + pk.load(x, (), ()))

    x, y = np.array(2.5, np.float32), RNG.standard_normal((1, 1, 3, 2, 2)).astype(np.float32)
    out = np.full((2, 1, 2, 2, 3), 7, np.float32)
    run(kernel, 1, x=x, y=y, out=out)
    expected = np.full((2, 1, 2, 2, 3), 2.5, np.float32)
    expected[:1, :, :, :, :2] += y[:, :, :2]
    np.testing.assert_array_equal(out, expected)


def test_store_to_zero_d():
    out = np.array(0, np.int32)
    run(lambda out: pk.store(out, (), pk.program_id(0)), 5, out=out)
    assert out == 4


def test_store_of_some_programs():
    def kernel(out):
        i = pk.program_id(0)
        if_(i % 2 == 0, lambda: pk.store(out, i, pk.full((3,), 1, out.dtype) * i.astype(out.dtype)))

    out = np.full(10, -1, np.int64)
    run(kernel, 4, out=out)
    assert out.tolist() == [0, 0, 0, -1, -1, -1, 2, 2, 2, -1]


def test_gather_masks_and_bounds():
    def kernel(x, at, keep, out):
        k = pk.arange(6)
        pk.store(out, 0, pk.gather(x, pk.load(at, 0, 6), mask=pk.load(keep, 0, 6), pad=-7) + 0 * k)

    at = np.array([0, -1, 2, 3, 1, 2], np.int64)
    keep = np.array([1, 1, 1, 1, 0, 1], np.bool_)
    out = np.zeros(6, np.int32)
    run(kernel, 1, x=np.array([10, 11, 12], np.int32), at=at, keep=keep, out=out)
    assert out.tolist() == [10, -7, 12, -7, -7, 12]
    run(kernel, 1, x=np.zeros(0, np.int32), at=at, keep=keep, out=out)
    assert out.tolist() == [-7] * 6


def test_scatter_drops_what_is_outside():
    def kernel(at, out):
        k = pk.arange(4)
        pk.scatter(out, (pk.load(at, 0, 4), 0), k.astype(float32), mask=k < 3)

    out = np.full((3, 1), -1, np.float32)
    run(kernel, 1, at=np.array([2, 5, 0, 1], np.int64), out=out)
    assert out.tolist() == [[2], [-1], [0]]


OPS = {
    "add": lambda a, b: a + b,
    "max": max,
    "min": min,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "xchg": lambda a, b: b,
}


@pytest.mark.parametrize("fn", OPS)
@pytest.mark.parametrize("places", [1, 3, 700])
def test_atomics_equal_a_sequence(fn, places):
    atomic = getattr(pk, f"atomic_{fn}")

    def kernel(at, v, out, old):
        i = pk.program_id(0)
        result = atomic(out, pk.load(at, i, 100), pk.load(v, i, 100), mask=pk.load(v, i, 100) != 3)
        pk.store(old, i, result)

    at = RNG.integers(0, places, 700)
    v = RNG.integers(-9, 9, 700).astype(np.int32)
    start = RNG.integers(-9, 9, places).astype(np.int32)
    out, old = start.copy(), np.full(700, 99, np.int32)
    run(kernel, 7, at=at, v=v, out=out, old=old)
    expected, before = start.tolist(), []
    for a, b in zip(at.tolist(), v.tolist(), strict=True):
        before.append(expected[a] if b != 3 else 0)
        if b != 3:
            expected[a] = OPS[fn](expected[a], b)
    assert out.tolist() == expected
    assert old.tolist() == before


def test_atomic_add_of_floats_to_one_place():
    def kernel(out):
        pk.atomic_add(out, (), pk.full((50,), 0.5, float32))

    out = np.array(1, np.float32)
    run(kernel, 4, out=out)
    assert out == 101


def test_uniform_atomics_count_every_program():
    out = np.zeros(1, np.int64)
    run(lambda out: pk.atomic_add(out, 0, 1), 37, 64, out=out)
    assert out[0] == 37


def test_compare_and_swap_gives_one_winner():
    def kernel(out, won):
        i = pk.program_id(0)
        old = pk.atomic_cas(out, 0, -1, i)
        if_(old == -1, lambda: pk.atomic_add(won, 0, 1))

    out, won = np.array([-1], np.int32), np.zeros(1, np.int32)
    run(kernel, 9, out=out, won=won)
    assert won[0] == 1
    assert out[0] == 0


@pytest.mark.parametrize("places", [1, 5, 400])
def test_compare_and_swap_equals_a_sequence(places):
    def kernel(at, expected, value, out, old):
        i = pk.program_id(0)
        new, wanted = pk.load(value, i, 100), pk.load(expected, i, 100)
        pk.store(old, i, pk.atomic_cas(out, pk.load(at, i, 100), wanted, new, mask=new != 1))

    at = RNG.integers(0, places, 400)
    wanted, value = RNG.integers(0, 3, (2, 400)).astype(np.int32)
    out, old = np.zeros(places, np.int32), np.full(400, 99, np.int32)
    state, before = [0] * places, []
    for a, w, v in zip(at.tolist(), wanted.tolist(), value.tolist(), strict=True):
        before.append(state[a] if v != 1 else 0)
        if v != 1 and state[a] == w:
            state[a] = v
    run(kernel, 4, at=at, expected=wanted, value=value, out=out, old=old)
    assert out.tolist() == state
    assert old.tolist() == before


def test_compare_and_swap_of_zero_d():
    out = np.array(0, np.int32)
    run(lambda out: pk.atomic_cas(out, (), pk.program_id(0), pk.program_id(0) + 1), 5, out=out)
    assert out == 5


def test_memory_stays_near_the_chunk():
    def kernel(x, out):
        i = pk.program_id(0)
        pk.store(out, i, pk.load(x, i, 1024) * 2.0 + 1.0)

    x, out = np.zeros(1 << 20, np.float32), np.ones(1 << 20, np.float32)
    func = trace(kernel, {"x": tensor("float32"), "out": tensor("float32")})
    peaks = []
    for chunk in (1 << 18, 1 << 30):
        tracemalloc.start()
        execute(func, (1024, 1, 1), {"x": x, "out": out}, chunk)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 1 << 20
    assert peaks[1] > 1 << 22


def test_values_loaded_before_a_store_stay():
    def kernel(x):
        before = pk.load(x, 0, 4)
        pk.store(x, 0, before + 1)
        pk.store(x, 1, before)

    x = np.zeros(8, np.int32)
    run(kernel, 1, x=x)
    assert x.tolist() == [1] * 4 + [0] * 4


def test_bool_and_low_precision_arrays():
    import ml_dtypes

    def kernel(x, out):
        pk.store(out, 0, pk.load(x, 0, 5, pad=1).astype(out.dtype))

    out = np.zeros(4, np.float32)
    run(kernel, 1, x=np.array([1.5, 2, 448], ml_dtypes.float8_e4m3fn), out=out)
    assert out.tolist() == [1.5, 2, 448, 1]
    flags = np.zeros(4, np.bool_)
    run(kernel, 1, x=np.array([0, -0.0, np.nan, 3], np.float32), out=flags)
    assert flags.tolist() == [False, False, True, True]


def test_any_nonzero_byte_is_true():
    def kernel(x, out):
        flags = pk.load(x, 0, 4)
        pk.store(out, 0, (flags & pk.gather(x, pk.arange(4))).astype("int32"))

    out = np.zeros(4, np.int32)
    run(kernel, 1, x=np.array([0, 1, 2, 4], np.uint8).view(np.bool_), out=out)
    assert out.tolist() == [0, 1, 1, 1]
