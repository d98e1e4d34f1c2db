"""Products of tiles in every dtype, on odd and even sides."""

from __future__ import annotations

import numpy as np

import portkernel as pk

from ..catalog import Array, gamma
from ..dtypes import DType, dot_accumulator
from .case import SOME, Launch, Table, like, values

table = Table()
DTYPES = (
    pk.float64, pk.float32, pk.float16, pk.bfloat16, pk.float8_e4m3fn, pk.float8_e5m2, pk.int8, pk.uint8, pk.int32, pk.int64,
)  # fmt: skip


def operand(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
    return values(rng, shape, dtype)


def product(a: Array, b: Array, start: Array, dtype: DType) -> tuple[Array, Array | None]:
    """``start + a @ b`` and its bound; exact and wrapping for integers."""
    acc = dot_accumulator(dtype)
    if acc.is_integer:
        return start + a.astype(acc.np) @ b.astype(acc.np), None
    x, y, z = a.astype(np.float64), b.astype(np.float64), start.astype(np.float64)
    size = np.abs(x) @ np.abs(y) + np.abs(z)
    return z + x @ y, gamma(a.shape[-1] + 1, acc) * size + 1e-45


def launch(kernel: object, a: Array, b: Array, start: Array, dtype: DType, **constants: object) -> Launch:
    want, bound = product(a, b, start, dtype)
    args: dict[str, object] = {
        "a": a,
        "b": b,
        "acc": start,
        "out": like(np.empty(want.shape, dot_accumulator(dtype).np)),
    }
    limits = {} if bound is None else {"out": bound}
    return Launch(kernel, args, {"out": want}, bound=limits, constants=constants)  # type: ignore[arg-type]


@pk.kernel
def dot_kernel(a, b, acc, out, M: pk.constexpr[int], N: pk.constexpr[int], K: pk.constexpr[int]):
    total = pk.load(acc, (0, 0), (M, N))
    pk.store(out, (0, 0), pk.dot(pk.load(a, (0, 0), (M, K)), pk.load(b, (0, 0), (K, N)), total))


def _dot(m: int, n: int, k: int, dtypes: tuple[DType, ...]) -> None:
    @table(*dtypes, name=f"dot {m}×{n}×{k}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        a, b = operand(rng, (m, k), dtype), operand(rng, (k, n), dtype)
        start = values(rng, (m, n), dot_accumulator(dtype))
        return launch(dot_kernel, a, b, start, dtype, M=m, N=n, K=k)


_dot(1, 1, 1, SOME)
_dot(3, 17, 5, DTYPES)
_dot(48, 100, 17, (pk.float32, pk.float16, pk.int8))
_dot(16, 16, 16, DTYPES)
_dot(100, 3, 48, (pk.float32, pk.float64))
_dot(64, 64, 32, (pk.float32, pk.bfloat16))
_dot(1, 33, 70, (pk.float32, pk.float16))


@pk.kernel
def turned_kernel(a, b, acc, out):
    left, right = pk.load(a, (0, 0), (20, 12)).T, pk.load(b, (0, 0), (9, 20)).T
    pk.store(out, (0, 0), pk.dot(left, right, pk.load(acc, (0, 0), (12, 9))))


@table(pk.float32, pk.float16, pk.int8)
def dot_of_transposed_tiles(dtype: DType, rng: np.random.Generator) -> Launch:
    a, b = operand(rng, (20, 12), dtype), operand(rng, (9, 20), dtype)
    start = values(rng, (12, 9), dot_accumulator(dtype))
    made = launch(turned_kernel, a.T, b.T, start, dtype)
    made.args.update(a=a, b=b)
    return made


@pk.kernel
def batched_kernel(a, b, acc, out):
    left, right = pk.load(a, (0, 0, 0), (3, 10, 7)), pk.load(b, (0, 0, 0), (3, 7, 6))
    pk.store(out, (0, 0, 0), pk.dot(left, right, pk.load(acc, (0, 0, 0), (3, 10, 6))))


@table(*DTYPES)
def batched_dot(dtype: DType, rng: np.random.Generator) -> Launch:
    a, b = operand(rng, (3, 10, 7), dtype), operand(rng, (3, 7, 6), dtype)
    return launch(batched_kernel, a, b, values(rng, (3, 10, 6), dot_accumulator(dtype)), dtype)


@pk.kernel
def tf32_kernel(a, b, acc, out):
    total = pk.load(acc, (0, 0), (18, 21))
    pk.store(out, (0, 0), pk.dot(pk.load(a, (0, 0), (18, 40)), pk.load(b, (0, 0), (40, 21)), total, precision="tf32"))


def tf32(x: Array) -> Array:
    """10 fraction bits, to nearest, ties away from zero."""
    bits = x.view(np.uint32)
    return ((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


@table(pk.float32)
def tf32_rounds_its_operands(dtype: DType, rng: np.random.Generator) -> Launch:
    a, b = operand(rng, (18, 40), dtype), operand(rng, (40, 21), dtype)
    made = launch(tf32_kernel, tf32(a), tf32(b), values(rng, (18, 21), dtype), dtype)
    made.args.update(a=a, b=b)
    return made


@pk.kernel
def loop_kernel(a, b, acc, out):
    i, j = pk.program_id(0), pk.program_id(1)
    total = pk.load(acc, (i, j), (17, 20))
    for k in range(pk.cdiv(a.shape[1], 24)):
        total = pk.dot(pk.load(a, (i, k), (17, 24)), pk.load(b, (k, j), (24, 20)), total)
    pk.store(out, (i, j), total)


@table(*DTYPES)
def dot_in_a_loop(dtype: DType, rng: np.random.Generator) -> Launch:
    a, b = operand(rng, (50, 70), dtype), operand(rng, (70, 45), dtype)
    made = launch(loop_kernel, a, b, values(rng, (50, 45), dot_accumulator(dtype)), dtype)
    return Launch(made.kernel, made.args, made.expect, (3, 3), made.bound)


@table(pk.float32, pk.float64)
def dot_with_special_values(dtype: DType, rng: np.random.Generator) -> Launch:
    a, b = np.ones((3, 5), dtype.np), np.ones((5, 17), dtype.np)
    a[0, 1], a[1, 2], b[2, 3], b[4, 5] = np.nan, np.inf, 0, -np.inf
    start = np.zeros((3, 17), dtype.np)
    with np.errstate(invalid="ignore"):
        want = np.array([[sum(a[i, k] * b[k, j] for k in range(5)) for j in range(17)] for i in range(3)], dtype.np)
    args: dict[str, object] = {"a": a, "b": b, "acc": start, "out": like(want)}
    return Launch(dot_kernel, args, {"out": want}, constants={"M": 3, "N": 17, "K": 5})
