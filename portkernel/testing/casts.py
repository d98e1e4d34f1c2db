"""Every pair of dtypes, on the values at the edges of both."""

from __future__ import annotations

import numpy as np

import portkernel as pk

from ..catalog import Array, Launchable
from ..dtypes import ALL, DType, as_dtype
from .case import Launch, Table, like, specials

table = Table()
_BY_FLOAT32 = frozenset({"bfloat16", "float8_e4m3fn", "float8_e5m2"})


def convert(x: Array, dtype: DType) -> Array:
    """The contract: nearest even, from float64 to bfloat16 and the 8-bit floats by way of float32; float to integer
    truncates and saturates, NaN gives 0; to bool, nonzero."""
    source = as_dtype(x.dtype)
    with np.errstate(all="ignore"):
        if dtype.is_bool:
            return np.asarray(x.astype(np.float64) != 0) if source.is_float else x != 0
        if not (source.is_float and dtype.is_integer):
            by_way = np.float32 if source.bits == 64 and source.is_float and dtype.name in _BY_FLOAT32 else x.dtype
            return np.asarray(x.astype(by_way).astype(dtype.np))
        wide = np.trunc(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))

    def one(v: float) -> int:
        return dtype.max if v >= dtype.max else dtype.min if v <= dtype.min else int(v)

    return np.array([one(v) for v in wide.ravel().tolist()], dtype.np).reshape(x.shape)


def _edges(source: DType, target: DType) -> Array:
    """Special values of the source, and those of the target that it can hold, with their neighbours."""
    found = [specials(source)]
    if source.is_float and target.is_integer:
        edges = np.array([target.min, target.max, 2.0**31, 2.0**32, 127.5, 128.0, 255.9, 256.0, -128.9, -129.0, -0.9])
        near = np.concatenate((edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)))
        found.append(near.astype(source.np))
    elif source.is_float and target.is_float and target.bits < source.bits:
        found.append(specials(target).astype(source.np))
        step = 2.0**-target.mantissa  # halfway and just beside it: ties go to even
        ties = np.array([1 + step / 2, 1 + step * 1.5, 1 + step / 2 * 1.125, 1 + step / 2 * 0.875, 1.75 - step / 2])
        found.append(np.concatenate((ties, -ties)).astype(source.np))
    elif source.is_integer and target.is_float:
        top = 1 << (target.mantissa + 1)
        picks = [p for p in (top - 1, top, top + 1, top + 2, top + 3, -top - 1) if source.min <= p <= source.max]
        found.append(np.array(picks, source.np))
    return np.concatenate(found)


WIDE = tuple(d for d in ALL if d.bits > 8 or not d.is_float)
NARROW = tuple(d for d in ALL if d not in WIDE)


@pk.kernel
def cast_kernel(x, f64, f32, f16, bf16, i8, i16, i32, i64, u8, u16, u32, u64, b, B: pk.constexpr[int]):
    """One kernel for many pairs: compiling is what takes the time."""
    tile = pk.load(x, (0,), (B,))
    pk.store(f64, (0,), tile.astype(f64.dtype))
    pk.store(f32, (0,), tile.astype(f32.dtype))
    pk.store(f16, (0,), tile.astype(f16.dtype))
    pk.store(bf16, (0,), tile.astype(bf16.dtype))
    pk.store(i8, (0,), tile.astype(i8.dtype))
    pk.store(i16, (0,), tile.astype(i16.dtype))
    pk.store(i32, (0,), tile.astype(i32.dtype))
    pk.store(i64, (0,), tile.astype(i64.dtype))
    pk.store(u8, (0,), tile.astype(u8.dtype))
    pk.store(u16, (0,), tile.astype(u16.dtype))
    pk.store(u32, (0,), tile.astype(u32.dtype))
    pk.store(u64, (0,), tile.astype(u64.dtype))
    pk.store(b, (0,), tile.astype(b.dtype))


@pk.kernel
def cast_narrow_kernel(x, e4m3, e5m2, B: pk.constexpr[int]):
    tile = pk.load(x, (0,), (B,))
    pk.store(e4m3, (0,), tile.astype(e4m3.dtype))
    pk.store(e5m2, (0,), tile.astype(e5m2.dtype))


def _casts(kernel: Launchable, names: tuple[str, ...], targets: tuple[DType, ...], label: str) -> None:
    @table(*ALL, name=f"casts to {label}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        x = np.concatenate([_edges(dtype, target) for target in targets])
        want = {name: convert(x, target) for name, target in zip(names, targets, strict=True)}
        args: dict[str, object] = {"x": x}
        args |= {name: like(w) for name, w in want.items()}
        return Launch(kernel, args, want, constants={"B": len(x)}, bits=True)


_casts(
    cast_kernel,
    ("f64", "f32", "f16", "bf16", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "b"),
    WIDE,
    "every dtype of more than 8 bits, and integers",
)
_casts(cast_narrow_kernel, ("e4m3", "e5m2"), NARROW, "8-bit floats")
