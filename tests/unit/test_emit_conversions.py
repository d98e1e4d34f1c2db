"""Every conversion between two dtypes, bit for bit: NumPy and ml_dtypes are the reference."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from simt_kit import Kit, run

from portkernel.backends.c.rounding import nearest
from portkernel.dtypes import ALL, DType, float32, float64
from portkernel.ir import Bitcast, Cast
from portkernel.ir import simt as s

Array = NDArray[np.generic]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
ROUTES = [("cuda", 1), ("opencl", 1), ("opencl", 8)]


def samples(d: DType) -> Array:
    """All values of the small floats; random bits, edges, and the ties of the small floats for the others."""
    rng = np.random.default_rng(0)
    if d.is_bool:
        return np.array([False, True])
    if d.is_integer:
        edges = np.array([0, 1, d.max, d.min, d.max - 1, d.max // 2, d.max // 3], d.np)
        return np.concatenate([edges, rng.integers(d.min, d.max, 2000, dtype=d.np, endpoint=True)])
    word = np.dtype(f"u{d.itemsize}")
    if d.bits <= 16:
        return np.arange(1 << d.bits, dtype=word).view(d.np)
    half = np.arange(65536, dtype=np.uint16).view(np.float16).astype(d.np)
    with np.errstate(all="ignore"):
        tie = half[:-1] / 2 + half[1:] / 2
    bf16 = (np.arange(65536, dtype=np.uint32) << 16 | 0x8000).view(np.float32).astype(d.np)
    points = np.concatenate([half, tie, bf16])
    edges = [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        448,
        463.9,
        464,
        464.1,
        480,
        57344,
        61439,
        61440,
        65504,
        65519.99,
        65520,
    ]
    edges += [2.0**31, 2.0**63, 2.0**64, -(2.0**31), -(2.0**63), 2147483583, 9.2e18, 1.8e19, 2.0**32, 1e-45, 2e-45]
    edges += [127.5, 128, 255.9, 256, -0.5, -0.9, -1, -128.9, -129, 32767.5, 65535.9, 65536]
    return np.concatenate(
        [
            points,
            np.nextafter(points, d.np.type(np.inf)),
            np.nextafter(points, d.np.type(-np.inf)),
            rng.integers(0, 2**d.bits, 20000, dtype=word).view(d.np),
            np.array(edges, d.np),
        ]
    )


def expected(x: Array, src: DType, dst: DType) -> Array:
    if not (src.is_float and dst.is_integer):
        is_by_way = src == float64 and dst.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")
        return (x.astype(np.float32) if is_by_way else x).astype(dst.np)
    wide = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=2.0**70, neginf=-(2.0**70)))
    low, high = wide <= dst.min, wide >= dst.max
    result = np.where(low | high, 0, wide).astype(dst.np)
    return np.where(low, dst.min, np.where(high, dst.max, result)).astype(dst.np)


def mismatches(got: Array, want: Array, dst: DType) -> Array:
    """Where the bits differ, any NaN of the right sign counting as one."""
    word = f"u{dst.itemsize}"
    bad = got.view(word) != want.view(word)
    if dst.is_float:
        bad &= ~(np.isnan(want.astype(np.float64)) & np.isnan(got.astype(np.float64)))
    return np.nonzero(bad)[0]


def conversions(src: DType, lanes: int) -> tuple[Kit, list[DType]]:
    """One kernel that converts its input to every other dtype."""
    kit = Kit(threads=1 if lanes > 1 else 64)
    others = [d for d in ALL if d != src]
    x = kit.tensor("x", src)
    outs = [kit.tensor(f"out_{d}", d) for d in others]
    at = kit.position(lanes)
    value = kit.read(x, at, lanes)
    for d, out in zip(others, outs, strict=True):
        kit.write(out, at, kit.emit(Cast, s.Vec(d, lanes), x=value).result)
    return kit, others


@pytest.mark.parametrize(("route", "lanes"), ROUTES)
@pytest.mark.parametrize("src", ALL, ids=str)
def test_every_conversion_is_exact(src: DType, route: str, lanes: int) -> None:
    x = samples(src)
    per_group = lanes if lanes > 1 else 64
    groups = -(-len(x) // per_group)
    x = np.concatenate([x, np.zeros(groups * per_group - len(x), x.dtype)])
    kit, others = conversions(src, lanes)
    outs = {f"out_{d}": np.full(len(x), 1, d.np) for d in others}
    run(route, kit.source(route), (groups,), {"x": x, **outs})
    for d in others:
        got, want = outs[f"out_{d}"], expected(x, src, d)
        bad = mismatches(got, want, d)
        assert not len(bad), (str(d), [(x[i], got[i], want[i]) for i in bad[:5]])


@pytest.mark.parametrize(("route", "lanes"), ROUTES)
def test_bitcasts_keep_the_bits(route: str, lanes: int) -> None:
    for bits in (8, 16, 32, 64):
        word = np.dtype(f"u{bits // 8}")
        same = [d for d in ALL if d.bits == bits and not d.is_bool]
        raw = np.random.default_rng(bits).integers(0, 2**bits, 64 * 8, dtype=word)
        for src in same:
            kit = Kit(threads=1 if lanes > 1 else 64)
            x = kit.tensor("x", src)
            outs = [kit.tensor(f"out_{d}", d) for d in same]
            at = kit.position(lanes)
            value = kit.read(x, at, lanes)
            for d, out in zip(same, outs, strict=True):
                kit.write(out, at, kit.emit(Bitcast, s.Vec(d, lanes), x=value).result)
            data = raw.view(src.np)
            got = {f"out_{d}": np.zeros(len(raw), d.np) for d in same}
            run(route, kit.source(route), (len(raw) // (lanes if lanes > 1 else 64),), {"x": data, **got})
            for d in same:
                both = got[f"out_{d}"].view(word) == raw
                if src.is_float or d.is_float:
                    both |= np.isnan(data.astype(np.float64)) | np.isnan(raw.view(d.np).astype(np.float64))
                assert both.all(), (str(src), str(d))


@pytest.mark.parametrize("dtype", [d for d in ALL if d.is_float], ids=str)
def test_constants_round_as_casts_do(dtype: DType) -> None:
    xs = samples(float32 if dtype != float64 else float64)[::97].astype(np.float64)
    xs = np.concatenate([xs, samples(float64)[-40:]])
    want = xs.astype(dtype.np).astype(np.float64)
    got = np.array([nearest(float(x), dtype) for x in xs])
    assert np.array_equal(got, want, equal_nan=True), [(x, g, w) for x, g, w in zip(xs, got, want) if g != w][:5]
