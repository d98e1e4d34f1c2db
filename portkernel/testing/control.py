"""Control flow: loops and what they carry, branches, scalars, the grid."""

from __future__ import annotations

import numpy as np

import portkernel as pk

from ..dtypes import DType
from .case import SOME, Launch, Table, like, values

table = Table()


@pk.kernel
def swap_kernel(x, y, out, n):
    a, b = pk.load(x, (0,), (16,)), pk.load(y, (0,), (16,))
    for _ in range(n):
        a, b = b, a
    pk.store(out, (0,), a)


@table(*SOME)
def swap_in_a_loop(dtype: DType, rng: np.random.Generator) -> Launch:
    x, y = values(rng, (16,), dtype), values(rng, (16,), dtype)
    return Launch(swap_kernel, {"x": x, "y": y, "out": like(x), "n": 3}, {"out": y})


@pk.kernel
def rotate_kernel(out, n):
    a, b, c = 1, 2, 3
    for i in range(n):
        a, b, c = b + i, c, a
    pk.store(out, (0,), pk.concatenate((pk.full((1,), a), pk.full((1,), b), pk.full((1,), c))).astype(out.dtype))


@table(pk.int32, pk.int64)
def parallel_assignment(dtype: DType, rng: np.random.Generator) -> Launch:
    a, b, c = 1, 2, 3
    for i in range(7):
        a, b, c = b + i, c, a
    want = np.array([a, b, c], dtype.np)
    return Launch(rotate_kernel, {"out": like(want), "n": 7}, {"out": want})


@pk.kernel
def nested_kernel(out, n, m):
    total = 0
    for i in range(n):
        row = 0
        for j in range(i, m):
            row = row * 3 + i * 10 + j
        total = total + row
    pk.store(out, (pk.program_id(0),), pk.full((1,), total + pk.program_id(0)))


@table(pk.int32)
def nested_loops(dtype: DType, rng: np.random.Generator) -> Launch:
    total = 0
    for i in range(4):
        row = 0
        for j in range(i, 6):
            row = row * 3 + i * 10 + j
        total += row
    want = np.array([total, total + 1, total + 2], np.int32)
    return Launch(nested_kernel, {"out": like(want), "n": 4, "m": 6}, {"out": want}, grid=(3,))


@pk.kernel
def trips_kernel(counts, out):
    i = pk.program_id(0)
    n = pk.gather(counts, (i,))
    total = pk.zeros((5,), out.dtype)
    for k in range(n):
        total = total + pk.full((5,), k + 1).astype(out.dtype)
    pk.store(out, (i, 0), total[None, :])


@table(*SOME)
def trip_counts_differ_between_programs(dtype: DType, rng: np.random.Generator) -> Launch:
    counts = np.array([0, 1, 5, 2, 0, 9, 3], np.int32)
    want = np.repeat((counts * (counts + 1) // 2)[:, None], 5, axis=1).astype(dtype.np)
    return Launch(trips_kernel, {"counts": counts, "out": like(want)}, {"out": want}, grid=(7,))


@pk.kernel
def steps_kernel(out, start, stop, step):
    total = 0
    count = 0
    for i in range(start, stop, step):
        total = total * 2 + i
        count += 1
    pk.store(out, (0,), pk.full((1,), total))
    pk.store(out, (1,), pk.full((1,), count))


def _steps(start: int, stop: int, step: int) -> None:
    @table(pk.int32, name=f"range({start}, {stop}, {step})")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        total = 0
        for i in range(start, stop, step):
            total = total * 2 + i
        want = np.array([total, len(range(start, stop, step))], np.int32)
        return Launch(steps_kernel, {"out": like(want), "start": start, "stop": stop, "step": step}, {"out": want})


for _bounds in ((0, 5, 1), (5, 0, -1), (3, 20, 4), (-3, 3, 2), (4, 4, 1), (9, 2, 3), (2, 9, -2)):
    _steps(*_bounds)


@pk.kernel
def ends_kernel(bounds, out, STEP: pk.constexpr[int] = 0):
    i = pk.program_id(0)
    start, stop, given = (pk.gather(bounds, (i, part)) for part in range(3))
    step = STEP if STEP else given
    total = pk.full((), 0, pk.int64)
    count = 0
    for k in range(start, stop, step):
        total = total * 3 + k
        count += 1
    pk.store(out, (i, 0), pk.reshape(total, (1, 1)))
    pk.store(out, (i, 1), pk.full((1, 1), count).astype(pk.int64))


def _ends(step: int) -> None:
    """Loops up to the ends of their counter's dtype, with a step known to the compiler, or 0 for any."""

    @table(pk.int8, pk.int32, *(() if step < 0 else (pk.uint32,)), name=f"range to the ends by {step or 'any step'}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        low, top = dtype.min, dtype.max
        up = [(top - 4, top, by) for by in (1, 2, 3)] + [(0, top, top // 2 + 1)]
        down = [(low + 4, low, by) for by in (-1, -2, -3)] + [(top, 0, low)] if low else []
        bounds = [b for b in (*up, *down) if b[2] == step] if step else [*up, *down]
        want = np.zeros((len(bounds), 2), np.int64)
        for row, (start, stop, by) in zip(want, bounds, strict=True):
            for k in range(start, stop, by):
                row[0] = (int(row[0]) * 3 + k + 2**63) % 2**64 - 2**63
                row[1] += 1
        args = {"bounds": np.array(bounds, dtype.np), "out": like(want)}
        return Launch(ends_kernel, args, {"out": want}, grid=(len(bounds),), constants={"STEP": step})


for _step in (0, 3, -3):
    _ends(_step)


@pk.kernel
def collatz_kernel(x, out):
    i = pk.program_id(0)
    n = pk.gather(x, (i,))
    steps = 0
    while n != 1 and steps < 1000:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    pk.store(out, (i,), pk.full((1,), steps))


@table(pk.int32, pk.int64)
def while_loop(dtype: DType, rng: np.random.Generator) -> Launch:
    x = np.array([1, 2, 3, 6, 7, 9, 19, 27], dtype.np)

    def steps(n: int) -> int:
        count = 0
        while n != 1:
            n, count = (n // 2 if n % 2 == 0 else 3 * n + 1), count + 1
        return count

    want = np.array([steps(int(n)) for n in x], np.int32)
    return Launch(collatz_kernel, {"x": x, "out": like(want)}, {"out": want}, grid=(8,))


@pk.kernel
def newton_kernel(x, out):
    target = pk.load(x, (pk.program_id(0),), (9,))
    guess = pk.maximum(target, 1)
    while pk.any(guess * guess > target):
        guess = pk.where(guess * guess > target, (guess + target // guess) // 2, guess)
    pk.store(out, (pk.program_id(0),), guess)


@table(pk.int32, pk.int64)
def while_over_tiles(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(1, 10000, (18,)).astype(dtype.np)
    want = np.floor(np.sqrt(x)).astype(dtype.np)
    return Launch(newton_kernel, {"x": x, "out": like(want)}, {"out": want}, grid=(2,))


@pk.kernel
def branch_kernel(x, out):
    i = pk.program_id(0)
    tile = pk.load(x, (i, 0), (1, 12))
    if i % 3 == 0:
        tile, k = tile + tile, 1
    elif i % 3 == 1:
        tile, k = tile * 3, 2
    else:
        k = 3
    pk.store(out, (i, 0), tile + k)


@table(pk.float32, pk.int32, pk.float16)
def branches_with_results(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(-9, 9, (7, 12)).astype(dtype.np)
    i = np.arange(7)[:, None] % 3
    want = (np.where(i == 0, x * 2 + 1, np.where(i == 1, x * 3 + 2, x + 3))).astype(dtype.np)
    return Launch(branch_kernel, {"x": x, "out": like(want)}, {"out": want}, grid=(7,))


@pk.kernel
def fold_in_branch_kernel(x, first, second):
    i = pk.program_id(0)
    tile = pk.load(x, (i, 0), (1, 3))
    twice = tile + tile
    out = twice
    if i % 2 == 0:
        out = tile + pk.cummax(tile, axis=1, reverse=True)
    pk.store(first, (i, 0), out)
    pk.store(second, (i, 0), twice)


@table(*SOME)
def fold_in_a_branch(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(-9, 9, (4, 3)).astype(dtype.np)
    highest = np.maximum.accumulate(x[:, ::-1], axis=1)[:, ::-1]
    want = {"first": np.where(np.arange(4)[:, None] % 2 == 0, x + highest, x + x), "second": x + x}
    args = {"x": x} | {name: like(w) for name, w in want.items()}
    return Launch(fold_in_branch_kernel, args, want, grid=(4,))


@pk.kernel
def guarded_store_kernel(out, n):
    i = pk.program_id(0)
    if i < n:
        for k in range(2):
            if k == i % 2:
                pk.store(out, (i,), pk.full((1,), i * 10 + k))


@table(pk.int32)
def stores_in_branches(dtype: DType, rng: np.random.Generator) -> Launch:
    start = np.full((6,), -5, np.int32)
    want = start.copy()
    want[:4] = [0, 11, 20, 31]
    return Launch(guarded_store_kernel, {"out": start, "n": 4}, {"out": want}, grid=(6,))


@pk.kernel
def logic_kernel(x, out):
    i = pk.program_id(0)
    v = pk.gather(x, (i,))
    small = 0 < v <= 5
    picked = (small and v != 3) or not (v < 10)
    pk.store(out, (i,), pk.full((1,), 1 if picked else 0) + (2 if small else 0))


@table(pk.int32, pk.int8, pk.float32)
def logic_of_scalars(dtype: DType, rng: np.random.Generator) -> Launch:
    x = np.array([-1, 0, 1, 3, 5, 6, 9, 10, 11], dtype.np)
    small = (x > 0) & (x <= 5)
    want = (((small & (x != 3)) | (x >= 10)) + 2 * small).astype(np.int32)
    return Launch(logic_kernel, {"x": x, "out": like(want)}, {"out": want}, grid=(9,))


def split(tile):
    """Several results, with a local of its own."""
    half = tile / 2
    return half, tile - half


SCALE = 3.0


@pk.kernel
def helpers_kernel(x, out, UNROLL: pk.constexpr[int] = 3):
    a = pk.load(x, (0,), (10,))
    for _ in pk.static_range(UNROLL):
        b, c = split(a)
        a = b * SCALE + c
    pk.store(out, (0,), a)


@table(pk.float32, pk.float64)
def inlined_functions_and_constants(dtype: DType, rng: np.random.Generator) -> Launch:
    x = values(rng, (10,), dtype)
    want = x
    for _ in range(3):
        want = want / 2 * dtype.np.type(3) + (want - want / 2)
    return Launch(helpers_kernel, {"x": x, "out": like(x)}, {"out": want})


@pk.kernel
def grid_kernel(out):
    i, j, k = pk.program_id(0), pk.program_id(1), pk.program_id(2)
    size = pk.num_programs(0) * 100 + pk.num_programs(1) * 10 + pk.num_programs(2)
    pk.store(out, (i, j, k), pk.full((1, 1, 1), size + i * 10000 + j * 100000 + k * 1000000))


@table(pk.int32)
def three_dimensional_grid(dtype: DType, rng: np.random.Generator) -> Launch:
    i, j, k = np.ogrid[:4, :3, :5]
    want = (435 + i * 10000 + j * 100000 + k * 1000000).astype(np.int32)
    return Launch(grid_kernel, {"out": like(want)}, {"out": want}, grid=(4, 3, 5))


@pk.kernel
def scalar_kernel(out, f, n, flag):
    value = f * 2.0 + n
    pk.store(out, (0,), pk.full((4,), value if flag else -value).astype(out.dtype))


@table(pk.float32, pk.float64, pk.float16)
def scalar_arguments(dtype: DType, rng: np.random.Generator) -> Launch:
    want = np.full((4,), -8.0, dtype.np)
    return Launch(scalar_kernel, {"out": like(want), "f": 2.5, "n": 3, "flag": False}, {"out": want})


@pk.kernel
def carried_tuple_kernel(out, n):
    state = (0, 1)
    for _ in range(n):
        state = (state[1], state[0] + state[1])
    pk.store(out, (0,), pk.full((1,), state[0]))


@table(pk.int32)
def tuple_carried_by_a_loop(dtype: DType, rng: np.random.Generator) -> Launch:
    want = np.array([55], np.int32)
    return Launch(carried_tuple_kernel, {"out": like(want), "n": 10}, {"out": want})


@pk.kernel
def facts_kernel(x, out):
    pk.store(out, (0,), pk.full((1,), x.shape[0]).astype(pk.int64))
    pk.store(out, (1,), pk.full((1,), x.shape[1]).astype(pk.int64))
    pk.store(out, (2,), pk.full((1,), x.strides[0]).astype(pk.int64))
    pk.store(out, (3,), pk.full((1,), x.strides[1]).astype(pk.int64))
    pk.store(out, (4,), pk.full((1,), x.ndim * 100 + x.size).astype(pk.int64))


@table(*SOME)
def shapes_and_strides(dtype: DType, rng: np.random.Generator) -> Launch:
    x = values(rng, (12, 15), dtype)[::-2, ::3]
    want = np.array([6, 5, -30, 3, 230], np.int64)
    return Launch(facts_kernel, {"x": x, "out": like(want)}, {"out": want})


@pk.kernel
def assert_kernel(x, out):
    tile = pk.load(x, (pk.program_id(0),), (8,))
    pk.device_assert(tile < 5, "too large")
    pk.store(out, (pk.program_id(0),), tile)


@table(*SOME)
def device_assert_holds(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(0, 5, (16,)).astype(dtype.np)
    return Launch(assert_kernel, {"x": x, "out": like(x)}, {"out": x}, grid=(2,))


@table(*SOME)
def device_assert_fails(dtype: DType, rng: np.random.Generator) -> Launch:
    x = rng.integers(0, 5, (16,)).astype(dtype.np)
    x[11] = 6
    return Launch(assert_kernel, {"x": x, "out": like(x)}, {}, grid=(2,), raises="DeviceAssertionError")
