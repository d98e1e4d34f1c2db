"""The reference backend: control flow, chunks, reports."""

from __future__ import annotations

import numpy as np
import pytest
from ir_tracing import for_, if_, run, tensor, trace, while_

import portkernel.lang as pk
from portkernel.backends.numpy import NumpyBackend, execute
from portkernel.dtypes import float32, int32, int64
from portkernel.errors import DeviceAssertionError, InternalError
from portkernel.loc import Loc


def poison(shape, dtype) -> np.ndarray:
    return np.full(shape, 77, dtype)


def test_swap_in_a_loop_is_a_parallel_assignment():
    def kernel(n, out):
        i = pk.program_id(0)
        count = pk.gather(n, i)
        a, b = for_(0, count, 1, (pk.full((), 1, int32), pk.full((), 2, int32)), lambda k, a, b: (b, a))
        pk.store(out, (i, 0), pk.reshape(a, (1, 1)))
        pk.store(out, (i, 1), pk.reshape(b, (1, 1)))

    n = np.array([0, 1, 2, 5], np.int32)
    out = poison((4, 2), np.int32)
    run(kernel, 4, n=n, out=out)
    assert out.tolist() == [[1, 2], [2, 1], [1, 2], [2, 1]]


@pytest.mark.parametrize("step", [1, 2, -1, -3])
def test_bounds_of_each_program(step):
    starts = np.array([0, 3, -2, 10, 5], np.int64)
    stops = np.array([5, 3, 7, -4, 6], np.int64)

    def kernel(start, stop, out):
        i = pk.program_id(0)
        (total,) = for_(
            pk.gather(start, i), pk.gather(stop, i), step, (pk.full((), 0, int64),), lambda k, t: (t * 3 + k,)
        )
        pk.scatter(out, i, total)

    out = poison(5, np.int64)
    run(kernel, 5, start=starts, stop=stops, out=out)
    expected = []
    for a, b in zip(starts, stops, strict=True):
        t = 0
        for k in range(a, b, step):
            t = t * 3 + k
        expected.append(t)
    assert out.tolist() == expected


def test_stores_in_a_loop_stop_with_their_program():
    def kernel(out):
        i = pk.program_id(0)
        for_(0, i, 1, (), lambda k: pk.scatter(out, (i, k), 1))

    out = np.zeros((4, 4), np.int32)
    run(kernel, 4, out=out)
    assert out.tolist() == np.tril(np.ones((4, 4), np.int32), -1).tolist()


def test_while_ends_for_each_program_on_its_own():
    def kernel(x, out):
        i = pk.program_id(0)
        _, steps = while_(
            (pk.gather(x, i), pk.full((), 0, int32)),
            lambda n, s: n > 1,
            lambda n, s: (pk.where(n % 2 == 0, n // 2, 3 * n + 1), s + 1),
        )
        pk.scatter(out, i, steps)

    x = np.array([1, 2, 3, 7, 27], np.int32)
    out = poison(5, np.int32)
    run(kernel, 5, x=x, out=out)
    assert out.tolist() == [0, 1, 7, 16, 111]


def test_branches_run_under_masks():
    def kernel(x, out, seen):
        i = pk.program_id(0)
        v = pk.gather(x, i)

        def negative():
            pk.atomic_add(seen, 0, 1)
            return (-v,)

        def positive():
            pk.atomic_add(seen, 1, 1)
            (inner,) = if_(v > 2.0, lambda: (v * 10.0,), lambda: (v,))
            return (inner,)

        (result,) = if_(v < 0.0, negative, positive)
        pk.scatter(out, i, result)

    out, seen = poison(5, np.float32), np.zeros(2, np.int32)
    run(kernel, 5, x=np.array([-1, 1, 3, -4, 0], np.float32), out=out, seen=seen)
    assert out.tolist() == [1, 1, 30, 4, 0]
    assert seen.tolist() == [2, 3]


def test_a_branch_that_nobody_takes_does_not_run():
    def kernel(x, out):
        if_(x > 3, lambda: pk.device_assert(x < 0, "never"))
        pk.scatter(out, pk.program_id(0), x)

    out = poison(3, np.int32)
    run(kernel, 3, x=1, out=out)
    assert out.tolist() == [1, 1, 1]


@pytest.mark.parametrize("chunk_bytes", [1, 500, 1 << 26])
def test_chunks_change_nothing(chunk_bytes):
    def kernel(x, out, order):
        i, j = pk.program_id(0), pk.program_id(1)
        (acc,) = for_(0, i + 1, 1, (pk.zeros((3, 5), float32),), lambda k, acc: (acc + pk.load(x, (k, j), (3, 5)),))
        pk.store(out, (i, j), acc)
        pk.scatter(order, (i, j), pk.atomic_add(order, (0, 0), 0) * 0 + pk.num_programs(0))

    x = np.random.default_rng(0).standard_normal((10, 12)).astype(np.float32)
    out, order = poison((10, 12), np.float32), np.zeros((4, 3), np.int32)
    run(kernel, (4, 3), chunk_bytes, x=x, out=out, order=order)
    padded = np.zeros((12, 15), np.float32)
    padded[:10, :12] = x
    expected = np.cumsum(padded.reshape(4, 3, 15), axis=0, dtype=np.float32).reshape(12, 15)
    np.testing.assert_array_equal(out, expected[:10, :12])
    assert (order == 4).all()


def test_assert_reports_message_and_place():
    def kernel(x):
        from portkernel.ir import current

        with current().at(Loc("k.py", 7, 4, 7, 9)):
            pk.device_assert(pk.load(x, 0, 4) > 0, "positive only")

    run(kernel, 1, x=np.ones(4, np.float32))
    with pytest.raises(DeviceAssertionError, match="positive only") as caught:
        run(kernel, 1, x=np.array([1, 2, 0, 1], np.float32))
    assert caught.value.loc.line == 7


def test_assert_ignores_programs_that_do_not_take_the_branch():
    def kernel(x):
        i = pk.program_id(0)
        if_(i < 2, lambda: pk.device_assert(pk.gather(x, i) > 0))

    run(kernel, 3, x=np.array([1, 1, 0], np.int32))
    with pytest.raises(DeviceAssertionError):
        run(kernel, 3, x=np.array([1, 0, 1], np.int32))


def test_print_is_one_line_for_each_element(capsys):
    def kernel(x):
        i = pk.program_id(0)
        if_(i > 0, lambda: pk.device_print("x", pk.load(x, (i, 0), (1, 2)), i))

    run(kernel, 2, x=np.array([[1, 2], [0.5, np.nan]], np.float32))
    assert capsys.readouterr().out == "pid (1, 0, 0) idx (0, 0): x 0.5 1\npid (1, 0, 0) idx (0, 1): x nan 1\n"


def test_grid_axes_and_sizes():
    def kernel(out):
        i, j, k = (pk.program_id(a) for a in range(3))
        nx, ny = pk.num_programs(0), pk.num_programs(1)
        pk.scatter(out, (i, j, k), i + nx * (j + ny * k))

    out = poison((2, 3, 4), np.int32)
    run(kernel, (2, 3, 4), out=out)
    np.testing.assert_array_equal(out, np.arange(24).reshape((2, 3, 4), order="F"))


def test_scalar_parameters_keep_their_dtype():
    from portkernel.ir import Tile

    def kernel(x, n, out):
        pk.scatter(out, 0, x.astype(float32) + n.astype(float32))

    from portkernel.dtypes import bfloat16, uint64

    func = trace(kernel, {"x": Tile((), bfloat16), "n": Tile((), uint64), "out": tensor("float32")})
    out = poison(1, np.float32)
    execute(func, (1, 1, 1), {"x": 1.001, "n": 2**64 - 1, "out": out}, 1 << 20)
    assert out[0] == np.float32(2**64)
    execute(func, (1, 1, 1), {"x": 1.001, "n": 0, "out": out}, 1 << 20)
    assert out[0] == 1.0  # bfloat16 has 8 bits


def test_a_wrong_array_is_an_internal_error():
    func = trace(lambda x: None, {"x": tensor("float32", 2)})
    with pytest.raises(InternalError, match="x"):
        execute(func, (1, 1, 1), {"x": np.zeros(3, np.float32)}, 1)


def test_backend_text_is_the_printed_ir():
    from portkernel.ir import Load, print_func
    from portkernel.targets import Target

    func = trace(lambda x: pk.store(x, 0, pk.load(x, 0, 4) + 1), {"x": tensor("int32")})
    target = Target("reference", "any", "cpu")
    source = NumpyBackend().emit(func, target)
    assert source.text == print_func(func)
    assert [p.name for p in source.params] == ["x"]
    assert NumpyBackend().supports(Load, int32, target)
