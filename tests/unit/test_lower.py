"""The lowering, executed through the OpenCL emitter on PoCL in both schedules and compared with the reference executor."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import portkernel as pk
from portkernel import targets
from portkernel.backends.c import lower
from portkernel.backends.numpy import execute
from portkernel.backends.opencl import OpenCLBackend
from portkernel.errors import ResourceError
from portkernel.frontend import KernelFn
from portkernel.ir import For, walk
from portkernel.ir.simt import Alloc, Barrier, Loop

sys.path.insert(0, str(Path(__file__).parent))
import lower_launch as direct

SMALL_GPU = targets.variant(direct.GPU, lanes=0, max_threads=8)
TARGETS = {"cpu": direct.CPU, "gpu": direct.GPU, "gpu of 8 threads": SMALL_GPU}
needs_pocl = pytest.mark.skipif(not direct.available(), reason="PoCL is not installed")
on_each_schedule = pytest.mark.parametrize("schedule", list(TARGETS))


def check(schedule, function, args, grid=(1, 1, 1), rtol=0.0, **constants):
    """Run on the schedule and on the reference; every array must agree."""
    kernel = KernelFn(function)
    want = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in args.items()}
    execute(direct.lowered(kernel, want, constants), grid, want, 1 << 24)
    direct.launch(kernel, grid, args, constants, TARGETS[schedule])
    for name, x in want.items():
        if isinstance(x, np.ndarray):
            if rtol:
                np.testing.assert_allclose(args[name], x, rtol=rtol, atol=rtol, err_msg=name)
            else:
                np.testing.assert_array_equal(args[name], x, err_msg=name)


def numbers(*shape, dtype=np.float32):
    return np.random.default_rng(7).integers(-50, 50, shape).astype(dtype)


def ints(*shape):
    return numbers(*shape, dtype=np.int32)


# --- order of reads and writes --------------------------------------------------------------------------------


def turn_in_place(x, B: pk.constexpr[int]):
    t = pk.load(x, (0, 0), (B, B))
    pk.store(x, (0, 0), pk.transpose(t))


def shift_in_place(x, B: pk.constexpr[int]):
    t = pk.load(x, (0,), (B,))
    pk.scatter(x, (pk.arange(B) + 1,), t)


def store_then_load(x, out, B: pk.constexpr[int]):
    pk.store(x, (0,), pk.arange(B) * 3)
    back = pk.gather(x, (B - 1 - pk.arange(B),))
    pk.store(out, (0,), back)


def loop_through_memory(x, B: pk.constexpr[int], n):
    for _ in range(n):
        t = pk.gather(x, ((pk.arange(B) + 1) % B,))
        pk.store(x, (0,), t * 2 + pk.load(x, (0,), (B,)))


@needs_pocl
@on_each_schedule
def test_a_tile_is_read_before_its_tensor_is_overwritten(schedule):
    check(schedule, turn_in_place, {"x": ints(19, 19)}, B=19)
    check(schedule, shift_in_place, {"x": ints(100)}, B=70)


@needs_pocl
@on_each_schedule
def test_other_threads_see_a_store(schedule):
    check(schedule, store_then_load, {"x": ints(100), "out": ints(100)}, B=100)
    check(schedule, loop_through_memory, {"x": ints(64), "n": 5}, B=50)


# --- carried tiles --------------------------------------------------------------------------------------------


def swap(x, y, n, B: pk.constexpr[int]):
    a, b = pk.load(x, (0, 0), (B, B)), pk.load(y, (0, 0), (B, B))
    for _ in range(n):
        a, b = pk.transpose(b) + 1, a
    pk.store(x, (0, 0), a)
    pk.store(y, (0, 0), b)


def rotate(x, out, n, B: pk.constexpr[int]):
    a = pk.load(x, (0,), (B,))
    b, c = a * 2, a * 3
    i = 0
    while i < n:
        a, b, c = b, c, a
        i += 1
    pk.store(out, (0,), a + 10 * b + 100 * c)


def running(x, out, n, B: pk.constexpr[int]):
    """Each turn reads the carried tile as its own element, as a whole, and turned round."""
    a = pk.load(x, (0, 0), (B, B))
    for i in range(n):
        top = pk.max(a, axis=1)
        a = a + top[None, :] - i
    pk.store(out, (0, 0), a)


def branches(x, out, flag, B: pk.constexpr[int]):
    a = pk.load(x, (0, 0), (B, B))
    if flag > 0:
        b = pk.transpose(a)
        s = pk.sum(a)
    else:
        b = a * 3
        s = pk.sum(a) * 0 - 1
    pk.store(out, (0, 0), (b + pk.max(b, axis=0)[:, None] + s).astype(pk.int32))


def downward(x, out, n, step, B: pk.constexpr[int]):
    a = pk.load(x, (0,), (B,))
    for i in range(n, -3, -2):
        a = a * 3 + i
    for i in range(0, n, step):
        a = a * 5 - i
    pk.store(out, (0,), a)


@needs_pocl
@on_each_schedule
@pytest.mark.parametrize("n", [0, 3])
def test_carried_tiles_are_assigned_in_parallel(schedule, n):
    check(schedule, swap, {"x": ints(17, 17), "y": ints(17, 17) * 7, "n": n}, B=17)
    check(schedule, rotate, {"x": ints(33), "out": ints(33), "n": n}, B=33)
    check(schedule, running, {"x": ints(12, 12), "out": ints(12, 12), "n": n}, B=12)
    check(schedule, downward, {"x": ints(20), "out": ints(20), "n": 7, "step": n}, B=20)  # no turn with a step of 0


@needs_pocl
@on_each_schedule
@pytest.mark.parametrize("flag", [0, 1])
def test_branches_leave_their_tiles_in_one_place(schedule, flag):
    check(schedule, branches, {"x": ints(11, 11), "out": ints(11, 11), "flag": flag}, B=11)


# --- folds ----------------------------------------------------------------------------------------------------


def folds(x, rows, cols, total, B: pk.constexpr[int], N: pk.constexpr[int]):
    t = pk.load(x, (0, 0), (B, N))
    pk.store(rows, (0,), pk.sum(t, axis=1, dtype=pk.int32) + pk.argmax(t, axis=1))
    pk.store(cols, (0,), pk.max(t, axis=0) * 3 + pk.argmin(t, axis=0))
    pk.store(total, (0,), pk.reshape(pk.sum(t, dtype=pk.int32), (1,)))


def first_of(x, out, B: pk.constexpr[int], N: pk.constexpr[int]):
    """A combine function that is associative and not commutative: composition of x -> a * x + b."""

    def compose(a0, b0, a1, b1):
        return a0 * a1, b0 * a1 + b1

    t = pk.load(x, (0, 0), (B, N))
    a, b = pk.reduce((t, t + 1), 1, compose)
    sa, sb = pk.scan((t, t + 1), 1, compose)
    ra, rb = pk.scan((t, t + 1), 1, compose, reverse=True)
    pk.store(out, (0, 0), sa + 3 * sb + 5 * ra + 7 * rb + (a + 11 * b)[:, None])


def scans(x, out, B: pk.constexpr[int], N: pk.constexpr[int]):
    t = pk.load(x, (0, 0), (B, N))
    down = pk.cumsum(t, axis=0, dtype=pk.int32) + pk.cumsum(t, axis=1, dtype=pk.int32, reverse=True)
    pk.store(out, (0, 0), down + pk.cummax(t, axis=1) * 5)


@needs_pocl
@on_each_schedule
@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (5, 77), (3, 400)])
def test_folds(schedule, shape):
    b, n = shape
    args = {"x": ints(b, n), "rows": ints(b), "cols": ints(n), "total": ints(1)}
    check(schedule, folds, args, B=b, N=n)
    check(schedule, first_of, {"x": ints(b, n), "out": ints(b, n)}, B=b, N=n)
    check(schedule, scans, {"x": ints(b, n), "out": ints(b, n)}, B=b, N=n)


def softmax(x, out, N: pk.constexpr[int]):
    t = pk.load(x, (pk.program_id(0), 0), (3, N), pad=-1e30)
    e = pk.exp(t - pk.max(t, axis=1, keepdims=True))
    pk.store(out, (pk.program_id(0), 0), e / pk.sum(e, axis=1, keepdims=True))


@needs_pocl
@on_each_schedule
@pytest.mark.parametrize("n", [9, 1003])
def test_softmax_of_padded_rows(schedule, n):
    args = {"x": numbers(7, n) / 10, "out": numbers(7, n)}
    check(schedule, softmax, args, (3, 1, 1), rtol=1e-5, N=n + 3)


def special(x, out, N: pk.constexpr[int]):
    t = pk.load(x, (0, 0), (4, N))
    pk.store(out, (0, 0), pk.max(t, axis=0)[None, :] + pk.min(t, axis=1)[:, None] + pk.argmax(t, axis=1)[:, None])


@needs_pocl
@on_each_schedule
def test_nan_wins_in_vector_and_scalar_folds(schedule):
    x = numbers(4, 50)
    x[1, 13] = np.nan
    x[2, 49] = np.nan
    check(schedule, special, {"x": x, "out": numbers(4, 50)}, N=50)


# --- products -------------------------------------------------------------------------------------------------


def product(a, b, out, BM: pk.constexpr[int], BN: pk.constexpr[int], BK: pk.constexpr[int]):
    i, j = pk.program_id(0), pk.program_id(1)
    acc = pk.zeros((BM, BN), out.dtype)
    for k in range(pk.cdiv(a.shape[1], BK)):
        acc = pk.dot(pk.load(a, (i, k), (BM, BK)), pk.load(b, (k, j), (BK, BN)), acc)
    pk.store(out, (i, j), acc)


def rescaled(q, k, out, B: pk.constexpr[int], D: pk.constexpr[int], n):
    """The shape of flash attention: the accumulator is scaled by a carried vector before each product."""
    left = pk.load(q, (0, 0), (B, D))
    acc = pk.zeros((B, B), pk.int32)
    m = pk.full((B,), -100, pk.int32)
    for i in range(n):
        right = pk.load(k, (i, 0), (B, D))
        new = pk.maximum(m, pk.max(left, axis=1) + i)
        acc = pk.dot(left, pk.transpose(right), acc * (new - m + 1)[:, None])
        m = new
    pk.store(out, (0, 0), acc + m[:, None])


def still_read(a, out, n, B: pk.constexpr[int]):
    """The carried accumulator is read after the product, and turned round inside it: it may not be overwritten early."""
    x = pk.load(a, (0, 0), (B, B))
    acc = x
    other = x
    for _ in range(n):
        new = pk.dot(x, acc, pk.transpose(acc))
        other = other + acc
        acc = new
    pk.store(out, (0, 0), acc + other)


@needs_pocl
@on_each_schedule
@pytest.mark.parametrize("blocks", [(48, 24, 17), (7, 70, 33), (1, 1, 1)])
def test_product(schedule, blocks):
    m, n, k = 50, 71, 40
    bm, bn, bk = blocks
    grid = (-(-m // bm), -(-n // bn), 1)
    constants = {"BM": bm, "BN": bn, "BK": bk}
    for dtype in (np.float32, np.int32):
        args = {"a": numbers(m, k, dtype=dtype), "b": numbers(k, n, dtype=dtype), "out": numbers(m, n, dtype=dtype)}
        check(schedule, product, args, grid, **constants)
    args = {"a": numbers(k, m).T, "b": numbers(n, k).T[::-1], "out": numbers(n, m).T}
    check(schedule, product, args, grid, **constants)


@needs_pocl
@on_each_schedule
@pytest.mark.parametrize("n", [0, 3])
def test_accumulators_in_place(schedule, n):
    check(schedule, rescaled, {"q": ints(20, 12), "k": ints(60, 12), "out": ints(20, 20), "n": n}, B=20, D=12)
    check(schedule, still_read, {"a": ints(13, 13), "out": ints(13, 13), "n": n}, B=13)


# --- atomics --------------------------------------------------------------------------------------------------


def tickets(count, out, B: pk.constexpr[int]):
    first = pk.atomic_add(count, (0,), B)
    pk.scatter(out, (first + pk.arange(B),), pk.arange(B) + 1)
    old = pk.atomic_add(count, (pk.arange(B) % 4,), pk.full((B,), 1, pk.int32))
    pk.atomic_max(count, (pk.full((B,), 4, pk.int32),), old)


@needs_pocl
@on_each_schedule
def test_a_scalar_atomic_is_done_once(schedule):
    out = np.zeros(200, np.int32)
    count = np.zeros(5, np.int32)
    direct.launch(KernelFn(tickets), (4, 1, 1), {"count": count, "out": out}, {"B": 40}, TARGETS[schedule])
    assert sorted(out[out > 0]) != [] and count[0] == 4 * 40 + 4 * 10 and list(count[1:4]) == [40] * 3


# --- the form of the code -------------------------------------------------------------------------------------


def _product_ir(**constants):
    args = {"a": numbers(64, 64), "b": numbers(64, 64), "out": numbers(64, 64)}
    return direct.lowered(KernelFn(product), args, constants)


def test_one_thread_has_no_barrier_and_no_local_memory():
    found = lower(_product_ir(BM=32, BN=32, BK=32), direct.CPU)
    assert found.threads == 1 and found.local_bytes == 0
    assert not [op for op in walk(found.body) if isinstance(op, Barrier)]


def test_accumulators_of_many_threads_stay_in_registers():
    found = lower(_product_ir(BM=64, BN=64, BK=16), direct.GPU)
    spaces = [op.result.pointer.space for op in walk(found.body) if isinstance(op, Alloc)]
    assert sorted(spaces) == ["local", "local", "private"]
    assert found.local_bytes == 2 * 64 * 16 * 4
    barriers = [op for op in walk(found.body) if isinstance(op, Barrier)]
    assert 2 <= len(barriers) <= 4


def test_barriers_stand_in_uniform_control_flow_only():
    """No barrier under an If of a thread's own, nor in a loop whose bounds depend on the thread."""
    found = lower(_product_ir(BM=48, BN=24, BK=17), direct.GPU)
    for op in found.body.ops:
        if not isinstance(op, Loop):
            assert not [o for r in op.regions for o in walk(r) if isinstance(o, Barrier)]


def test_equal_functions_give_equal_text():
    texts = {OpenCLBackend().emit(_product_ir(BM=48, BN=24, BK=17), t).text for t in (direct.GPU, direct.GPU)}
    assert len(texts) == 1


def test_a_tile_that_does_not_fit_local_memory():
    func = direct.lowered(KernelFn(turn_in_place), {"x": ints(128, 128)}, {"B": 128})
    with pytest.raises(ResourceError) as caught:
        lower(func, direct.GPU)
    assert "expected at most 32768 bytes on opencl-gpu, got 65536" in caught.value.message
    assert "int32[128, 128] with 65536 bytes" in caught.value.message
    assert caught.value.hint == "use smaller tiles" and caught.value.loc.line > 0


def test_a_deep_product_is_staged_in_slices():
    assert lower(_product_ir(BM=128, BN=128, BK=128), direct.GPU).local_bytes <= direct.GPU.local_bytes


@needs_pocl
def test_slices_of_a_deep_product():
    args = {"a": numbers(70, 301), "b": numbers(301, 50), "out": numbers(70, 50)}
    check("gpu", product, args, BM=70, BN=50, BK=301)


def test_the_loop_of_the_kernel_is_one_loop():
    func = _product_ir(BM=16, BN=16, BK=16)
    assert sum(isinstance(op, For) for op in walk(func.body)) == 1


def test_a_tile_that_does_not_fit_the_stack():
    func = direct.lowered(KernelFn(turn_in_place), {"x": ints(1024, 1088)}, {"B": 1024})
    with pytest.raises(ResourceError, match="private memory: expected at most 1048576 bytes on opencl-cpu") as caught:
        lower(func, targets.variant(direct.CPU, private_bytes=1 << 20))
    assert caught.value.loc.line > 0


def sines(x, out, B: pk.constexpr[int]):
    y = pk.sin(pk.load(x, (0,), (B,)))
    pk.store(out, (0,), y)


@needs_pocl
@pytest.mark.parametrize("far", [np.inf, np.nan, 1e30])
def test_sines_beside_a_lane_that_is_far_out(far):
    x = np.full(16, 1e-3, np.float32)
    x[3] = far
    with np.errstate(invalid="ignore"):
        check("cpu", sines, {"x": x, "out": np.zeros(16, np.float32)}, rtol=1e-6, B=16)
