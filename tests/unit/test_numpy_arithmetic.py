"""The reference backend: what elementwise functions and casts compute."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from ir_tracing import run, tensor, trace

import portkernel.lang as pk
from portkernel.backends.numpy import execute
from portkernel.dtypes import ALL, BY_NAME

INTEGERS = [d for d in ALL if d.is_integer]


def apply(fn, *xs, dtype=None):
    """``fn`` of 1-d arrays of one length, as one tile."""
    n = len(xs[0])
    names = [f"x{i}" for i in range(len(xs))]
    seen = []

    def body(*params):
        result = fn(*(pk.load(p, 0, n) for p in params[:-1]))
        seen.append(result.dtype)
        pk.store(params[-1], 0, result)

    def probe(*params):
        seen.append(fn(*(pk.load(p, 0, n) for p in params)).dtype)

    types = {name: tensor(x.dtype) for name, x in zip(names, xs, strict=True)}
    trace(probe, types)
    out = np.zeros(n, seen[0].np)
    func = trace(body, {**types, "out": tensor(seen[0])})
    execute(func, (1, 1, 1), {**dict(zip(names, xs, strict=True)), "out": out}, 1 << 20)
    return out


SATURATION = [np.nan, np.inf, -np.inf, 0.0, -0.0, 0.9, -0.9, 1.5, -1.5, 127.9, 128.0, -128.9, 255.9, 256, -1, 65504,
              2**31, -(2.0**31), 2**32, 2**53, 2**63, -(2.0**63), 2**64, 1e300, -1e300]  # fmt: skip


@pytest.mark.parametrize("target", INTEGERS, ids=str)
@pytest.mark.parametrize("source", ["float16", "bfloat16", "float32", "float64", "float8_e5m2", "float8_e4m3fn"])
def test_float_to_integer_saturates(source, target):
    with np.errstate(all="ignore"):
        x = np.array(SATURATION, np.float64).astype(BY_NAME[source].np)
    expected = []
    for v in x.astype(np.float64).tolist():
        if np.isnan(v):
            expected.append(0)
        elif np.isinf(v):
            expected.append(target.max if v > 0 else target.min)
        else:
            expected.append(max(target.min, min(target.max, int(v))))
    assert apply(lambda t: t.astype(target), x).tolist() == expected


@pytest.mark.parametrize("target", INTEGERS, ids=str)
def test_integer_casts_wrap(target):
    x = np.array([0, 1, -1, 127, 128, 255, 256, -129, 2**31, 2**32 + 5, -(2**63), 2**63 - 1], np.int64)
    expected = [(v - target.min) % (1 << target.bits) + target.min for v in x.tolist()]
    assert apply(lambda t: t.astype(target), x).tolist() == expected


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integer_arithmetic_wraps(dtype):
    x = np.array([dtype.max, dtype.min, dtype.max, dtype.min, 7], dtype.np)
    y = np.array([1, 1, dtype.max, dtype.max, 3], dtype.np)

    def wrap(v):
        return (v - dtype.min) % (1 << dtype.bits) + dtype.min

    pairs = list(zip(x.tolist(), y.tolist(), strict=True))
    assert apply(lambda a, b: a + b, x, y).tolist() == [wrap(a + b) for a, b in pairs]
    assert apply(lambda a, b: a - b, x, y).tolist() == [wrap(a - b) for a, b in pairs]
    assert apply(lambda a, b: a * b, x, y).tolist() == [wrap(a * b) for a, b in pairs]
    assert apply(lambda a: -a, x).tolist() == [wrap(-a) for a in x.tolist()]
    assert apply(pk.abs, x).tolist() == [wrap(abs(a)) for a in x.tolist()]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_floor_division_and_modulo(dtype):
    values = [0, 1, 2, 3, 7, dtype.max, dtype.min] + ([-1, -2, -7] if dtype.kind == "i" else [])
    x, y = (a.ravel().astype(dtype.np) for a in np.meshgrid(np.array(values, object), np.array(values, object)))
    pairs = list(zip(x.tolist(), y.tolist(), strict=True))
    quotient = [0 if b == 0 else a // b for a, b in pairs]
    quotient = [dtype.min if q > dtype.max else q for q in quotient]  # the least value // -1
    assert apply(lambda a, b: a // b, x, y).tolist() == quotient
    assert apply(lambda a, b: a % b, x, y).tolist() == [0 if b == 0 else a % b for a, b in pairs]


def test_float_modulo_has_the_sign_of_the_divisor():
    x, y = np.array([7, -7, 7, -7, 1, -0.0], np.float32), np.array([3, 3, -3, -3, np.inf, 5], np.float32)
    np.testing.assert_array_equal(apply(lambda a, b: a % b, x, y), np.mod(x, y))
    assert apply(lambda a, b: a // b, x, y)[:4].tolist() == [2, -3, -3, 2]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_shifts_past_the_width(dtype):
    counts = [0, 1, dtype.bits - 1, dtype.bits, dtype.bits + 1, 100]
    for value in (dtype.max, dtype.min, 1, 5):
        x, by = np.full(6, value, dtype.np), np.array(counts, dtype.np)
        left = [((value << c) - dtype.min) % (1 << dtype.bits) + dtype.min if c < dtype.bits else 0 for c in counts]
        assert apply(lambda a, b: a << b, x, by).tolist() == left
        assert apply(lambda a, b: a >> b, x, by).tolist() == [value >> c for c in counts]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_maximum_and_minimum_propagate_nan(dtype):
    x = np.array([1, np.nan, 2, np.inf], np.float32).astype(BY_NAME[dtype].np)
    y = np.array([np.nan, 1, 3, -np.inf], np.float32).astype(BY_NAME[dtype].np)
    np.testing.assert_array_equal(apply(pk.maximum, x, y).astype(float), [np.nan, np.nan, 3, np.inf])
    np.testing.assert_array_equal(apply(pk.minimum, x, y).astype(float), [np.nan, np.nan, 2, -np.inf])


def test_negative_zero_survives():
    x = np.array([-0.0, 0.0, -0.0], np.float32)
    assert np.signbit(apply(lambda a: a * 1.0, x)).tolist() == [True, False, True]
    assert np.signbit(apply(lambda a: -a, x)).tolist() == [False, True, False]
    assert np.signbit(apply(lambda a: a + 0.0, x)).tolist() == [False, False, False]
    assert np.signbit(apply(pk.sqrt, x)).tolist() == [True, False, True]


def test_comparisons_with_nan():
    x, y = np.array([np.nan, 1], np.float32), np.array([np.nan, np.nan], np.float32)
    for fn, expected in ((lambda a, b: a == b, False), (lambda a, b: a != b, True), (lambda a, b: a <= b, False)):
        assert apply(fn, x, y).tolist() == [expected] * 2


HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


@pytest.mark.parametrize("target", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float32"])
def test_every_float16_converts_as_ml_dtypes_does(target):
    dtype = BY_NAME[target].np
    with np.errstate(all="ignore"):
        expected = HALVES.astype(np.float32).astype(dtype)
    found = apply(lambda a: a.astype(target), HALVES)
    bits = np.dtype(f"u{dtype.itemsize}")
    nan = np.isnan(expected.astype(np.float32))
    np.testing.assert_array_equal(np.isnan(found.astype(np.float32)), nan)
    np.testing.assert_array_equal(found.view(bits)[~nan], expected.view(bits)[~nan])


@pytest.mark.parametrize("source", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_floats_widen_exactly(source):
    dtype = BY_NAME[source]
    x = np.arange(1 << dtype.bits, dtype=np.dtype(f"u{dtype.itemsize}")).view(dtype.np)
    with np.errstate(all="ignore"):
        expected = x.astype(np.float64)
    np.testing.assert_array_equal(apply(lambda a: a.astype("float64"), x), expected)


@pytest.mark.parametrize("value", [0, 1, -1, 257, 2**24 + 1, 2**25 + 2**17 + 1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("target", ["bfloat16", "float16", "float8_e5m2", "float8_e4m3fn"])
def test_integers_convert_through_float32(target, value):
    with np.errstate(all="ignore"):
        expected = np.array([value], np.float32).astype(BY_NAME[target].np)
    found = apply(lambda a: a.astype(target), np.array([value], np.int32))
    np.testing.assert_array_equal(found.astype(np.float32), expected.astype(np.float32))


@pytest.mark.parametrize(
    "target, roundings", [("bfloat16", 2), ("float8_e4m3fn", 2), ("float8_e5m2", 2), ("float16", 1)]
)
def test_float64_just_above_a_tie(target, roundings):
    step = 2.0 ** -BY_NAME[target].mantissa
    x = np.array([1 + step / 2 + 2.0**-40])
    assert float(apply(lambda a: a.astype(target), x)[0]) == (1 + step if roundings == 1 else 1)


@pytest.mark.parametrize("target, expected", [("float8_e4m3fn", np.nan), ("float8_e5m2", np.inf), ("float16", np.inf)])
def test_overflow_of_narrow_floats(target, expected):
    found = apply(lambda a: a.astype(target), np.array([1e6, np.inf, -np.inf, np.nan], np.float32)).astype(float)
    np.testing.assert_array_equal(found, [expected, expected, -expected, np.nan])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_arithmetic_rounds_every_operation(dtype):
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32).astype(BY_NAME[dtype].np)
    wide = x.astype(np.float32)
    first = (wide * wide).astype(x.dtype)
    expected = (first.astype(np.float32) + wide).astype(x.dtype)
    found = apply(lambda a: a * a + a, x)
    np.testing.assert_array_equal(found.view(np.uint16), expected.view(np.uint16))
    with np.errstate(all="ignore"):
        roots = np.sqrt(wide).astype(x.dtype)
    np.testing.assert_array_equal(apply(pk.sqrt, x).astype(float), roots.astype(float))


def test_bitcasts():
    x = np.array([0.0, -0.0, 1.0, np.nan], np.float32)
    assert apply(lambda a: pk.bitcast(a, "uint32"), x).tolist() == x.view(np.uint32).tolist()
    y = np.array([1.0, -2.0], ml_dtypes.bfloat16)
    assert apply(lambda a: pk.bitcast(a, "int16"), y).tolist() == y.view(np.int16).tolist()


def test_bool_arithmetic():
    x, y = np.array([0, 0, 1, 1], np.bool_), np.array([0, 1, 0, 1], np.bool_)
    assert apply(lambda a, b: (a & ~b) | (a ^ b), x, y).tolist() == [False, True, True, False]
    assert apply(lambda a, b: pk.where(a, 5, pk.where(b, -1, 0)), x, y).tolist() == [0, -1, 5, 5]
    assert apply(lambda a: a.astype("bfloat16").astype("int8"), x).tolist() == [0, 0, 1, 1]


def test_power_of_integers():
    x = np.array([2, -1, -1, 1, 0, 3, 2], np.int32)
    y = np.array([10, -3, -2, -5, -1, 40, -1], np.int32)
    wrapped = (3**40 + 2**31) % 2**32 - 2**31
    assert apply(lambda a, b: a**b, x, y).tolist() == [1024, -1, 1, 1, 0, wrapped, 0]


PHILOX = {  # Random123's known answers for philox4x32-10: counter and key of zeros; and of our counter layout
    (0, 0): (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
}


@pytest.mark.parametrize("seed, counter", PHILOX)
def test_philox_known_answers(seed, counter):
    def kernel(at, out):
        words = pk.philox(seed, pk.load(at, 0, 1))
        for i, word in enumerate(words):
            pk.scatter(out, i, pk.reshape(word, ()))

    out = np.zeros(4, np.uint32)
    run(kernel, 1, at=np.array([counter], np.uint64), out=out)
    assert tuple(out.tolist()) == PHILOX[seed, counter]


def philox_in_python(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def test_philox_full_width():
    all_ones = [0xFFFFFFFF] * 4
    assert philox_in_python(all_ones, all_ones[:2]) == [
        0x408F276D,
        0x41C83B0E,
        0xA20BC7C6,
        0x6D5451FD,
    ]  # the kat file's
    counter, seed = 0x0123456789ABCDEF, 0x299F31D0A4093822
    expected = philox_in_python((counter & 0xFFFFFFFF, counter >> 32, 0, 0), (seed & 0xFFFFFFFF, seed >> 32))

    def kernel(at, out):
        for i, word in enumerate(pk.philox(seed, pk.load(at, 0, 1))):
            pk.scatter(out, i, pk.reshape(word, ()))

    out = np.zeros(4, np.uint32)
    run(kernel, 1, at=np.array([counter], np.uint64), out=out)
    assert out.tolist() == expected


def test_random_numbers_stay_in_their_range():
    def kernel(out, normal):
        i = pk.program_id(0)
        at = pk.arange(1024) + i * 1024
        pk.store(out, i, pk.rand(42, at))
        pk.store(normal, i, pk.randn(42, at))

    out, normal = np.zeros(1 << 14, np.float32), np.zeros(1 << 14, np.float32)
    run(kernel, 16, out=out, normal=normal)
    assert out.min() >= 0
    assert out.max() < 1
    assert abs(out.mean() - 0.5) < 0.01
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1) < 0.03
    assert len(np.unique(out)) > 16000
