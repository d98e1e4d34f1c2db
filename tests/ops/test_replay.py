"""Calls like earlier ones: launched without the host function, and right for other arrays of the signature."""

import ctypes

import numpy as np
import pytest
import torch

import portkernel as pk
from portkernel import errors
from portkernel.ops.operator import Operator
from portkernel.ops.replay import Replays, _Trial
from portkernel.ops.samples import makers, samples
from portkernel.runtime import replay
from portkernel.runtime.replay import Replay

cl = pytest.importorskip("pyopencl")
RNG = np.random.default_rng(11)


def sample(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


def softmax(x, axis=-1):
    x = np.asarray(x, np.float64)
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.fixture(autouse=True)
def _forget():
    for op in pk.ops.operators().values():
        op.replays.clear()


@pytest.fixture
def ran(monkeypatch):
    """Counts the runs of replays; each finds poison in its scratch memory."""
    count = []
    run = Replay.run

    def counted(self, arrays, addresses):
        if replay._SCRATCH.buffer is not None:
            replay._SCRATCH.buffer[:] = 0xFF
        result = run(self, arrays, addresses)
        count.append(result is not replay.MISSED)
        return result

    monkeypatch.setattr(Replay, "run", counted)
    return count


def entries(op: Operator):
    return [e for _, table in op.replays._tables.values() for e in table.values()]


@pytest.mark.parametrize("wrap", [lambda x: x, torch.from_numpy], ids=["numpy", "torch"])
def test_the_third_call_is_a_replay(ran, wrap):
    for i in range(5):
        x = sample(6, 33)
        got = pk.ops.softmax(wrap(x))
        assert type(got) is type(wrap(x))
        np.testing.assert_allclose(got, softmax(x), rtol=1e-5)
        assert len(ran) == max(0, i - 1)


def test_results_are_new_each_time(ran):
    x = sample(6, 33)
    got = [pk.ops.softmax(x + i) for i in range(6)]
    for a in range(6):
        for b in range(a):
            assert not np.shares_memory(got[a], got[b])
    first = got[3].copy()
    pk.ops.softmax(sample(6, 33))
    np.testing.assert_array_equal(got[3], first)
    assert sum(ran) == 5


def test_every_fact_of_an_array_tells_signatures_apart(ran):
    buffer = sample(6 * 33 * 4 + 8)

    def views():
        at = buffer[4:]
        yield at[: 6 * 33].reshape(6, 33)
        yield at[: 6 * 33].reshape(33, 6)
        yield at[: 6 * 66].reshape(6, 66)[:, ::2]
        yield at[: 6 * 33].reshape(33, 6).T
        yield at[: 6 * 33].reshape(6, 33)[::-1]
        yield at[1 : 1 + 6 * 33].reshape(6, 33)
        yield at[: 6 * 33].reshape(6, 33).astype(np.float64)
        yield np.broadcast_to(at[:33], (6, 33))
        yield at[: 6 * 33].reshape(1, 6, 33)

    for _ in range(4):
        buffer[:] = sample(buffer.size)
        for x in views():
            for axis in (-1, 0):
                np.testing.assert_allclose(pk.ops.softmax(x, axis=axis), softmax(x, axis), rtol=2e-5)
    assert sum(ran) == 2 * 9 * 2
    assert all(type(e) is Replay for e in entries(pk.ops.softmax))


def test_values_tell_signatures_apart(ran):
    x = sample(3, 4)
    for _ in range(3):
        for low, high in ((0, 1), (0.0, 1), (False, True), (-0.0, 1), (0.0, float("nan")), (-1, 0.5)):
            with np.errstate(all="ignore"):
                want = np.clip(x, np.float32(low), np.float32(high))
            np.testing.assert_array_equal(np.signbit(pk.ops.clip(x, low, high)), np.signbit(want))
    assert sum(ran) == 5  # with NaN, which equals nothing, no two runs are alike


def test_an_output_given(ran):
    for _ in range(4):
        x, out = sample(6, 33), np.full((6, 33), np.nan, np.float32)
        assert pk.ops.softmax(x, out=out) is out
        np.testing.assert_allclose(out, softmax(x), rtol=1e-5)
    assert sum(ran) == 2


def test_an_output_that_meets_an_input_is_refused_after_many_that_did_not(ran):
    for _ in range(4):
        x, out = sample(6, 33), np.empty((6, 33), np.float32)
        pk.ops.softmax(x, out=out)
    memory = sample(7 * 33 + 3)
    x, out = memory[: 6 * 33].reshape(6, 33), memory[36 : 36 + 6 * 33].reshape(6, 33)
    before = memory.copy()
    with pytest.raises(errors.OverlapError):
        pk.ops.softmax(x, out=out)
    with pytest.raises(errors.OverlapError):
        pk.ops.softmax(x, out=x)
    np.testing.assert_array_equal(memory, before)
    assert ran[-1] is False or sum(ran) == 2


def test_in_place_where_the_operator_allows_it(ran):
    for _ in range(4):
        x = sample(6, 33)
        want = x + x
        assert pk.ops.add(x, x, out=x) is x
        np.testing.assert_array_equal(x, want)


def test_one_array_twice_and_arrays_that_interleave(ran):
    for _ in range(4):
        both = sample(16, 2, 16)
        a, b = both[:, 0], both[:, 1]
        np.testing.assert_allclose(pk.ops.matmul(a, a), a.astype(np.float64) @ a, atol=1e-4)
        np.testing.assert_allclose(pk.ops.matmul(a, b), a.astype(np.float64) @ b, atol=1e-4)
    assert sum(ran) == 4


def test_a_signature_learnt_on_one_layout_of_memory_holds_on_another(ran):
    """a and b lie apart at first, then overlap, then are one: addresses are each argument's own."""
    memory = sample(1 << 12)
    places = ((0, 1024), (1024, 0), (512, 516), (4, 0))
    for start, other in places * 2:
        a, b = (memory[i : i + 256].reshape(16, 16) for i in (start, other))
        np.testing.assert_allclose(pk.ops.subtract(a, b), a - b)
    assert sum(ran) == 6


def test_views_of_scratch_and_several_results(ran):
    for _ in range(4):
        x = sample(5, 6, 7).transpose(2, 0, 1)
        values, places = pk.ops.topk(x, 3, axis=1)
        order = np.sort(x, axis=1)[:, ::-1][:, :3]
        np.testing.assert_array_equal(values, order)
        np.testing.assert_array_equal(np.take_along_axis(x, places, 1), order)
        got = pk.ops.cumsum(x, axis=0)
        np.testing.assert_allclose(got, np.cumsum(x.astype(np.float64), 0), atol=1e-5)
    assert sum(ran) == 4


def test_views_of_arguments_are_views(ran):
    for wrap in (lambda x: x, torch.from_numpy):
        for make in (lambda x: x, lambda x: x[:, ::2], lambda x: x.T):
            for _ in range(4):
                plain = sample(4, 6)
                x, same = wrap(plain), make(plain)
                x = make(x) if wrap is not torch.from_numpy else wrap(same)
                y = pk.ops.expand_dims(x, 1)
                assert type(y) is type(x)
                np.testing.assert_array_equal(y, same[:, None])
                y[...] = 7
                assert (same == 7).all()
                left, right = pk.ops.split(x, 2, axis=0)
                assert np.shares_memory(np.asarray(right), same[same.shape[0] // 2 :])
                assert left.shape[0] + right.shape[0] == same.shape[0]
    frozen = np.broadcast_to(np.float32(1), (3, 4))
    assert not any(pk.ops.expand_dims(frozen, 0).flags.writeable for _ in range(4))
    assert sum(ran) >= 2 * 3 * 2


def test_more_dimensions_than_a_kernel_takes(ran):
    for _ in range(4):
        x = sample(2, 3, 2, 2, 3, 2, 2)
        np.testing.assert_allclose(pk.ops.sum(x, axis=(0, 1, 2)), x.sum((0, 1, 2)), rtol=1e-4, atol=1e-5)
        assert pk.ops.reshape(x[0, 0, 0, 0], (1,) * 5 + (3, 4)).shape == (1,) * 5 + (3, 4)


def test_dtypes_and_numpy_scalars_are_part_of_the_signature(ran):
    x = sample(3, 4)
    for _ in range(4):
        for dtype in (np.dtype("float64"), np.float16, torch.float32, "int32"):
            got = pk.ops.astype(x, dtype)
            assert str(got.dtype) in str(dtype) or got.dtype == dtype
        for low in (np.float32(0), np.float32(0.5), np.float32(-0.0)):
            np.testing.assert_array_equal(pk.ops.maximum(x, low), np.maximum(x, low))
    assert sum(ran) >= 2 * 6


def test_settings_are_part_of_the_signature(ran):
    x = sample(4, 8)
    backends = []
    for _ in range(4):
        for backend in ("numpy", "opencl"):
            pk.reset_stats()
            with pk.use(backend=backend, strict=True):
                np.testing.assert_allclose(pk.ops.softmax(x), softmax(x), rtol=1e-5)
            backends.append({key[-1] for key in pk.stats().launches})
    assert backends == [{"numpy"}, {"opencl"}] * 4
    assert sum(ran) == 4


def test_launches_are_counted(ran):
    x = sample(4, 8)
    counts = []
    for _ in range(4):
        pk.reset_stats()
        pk.ops.softmax(x)
        counts.append(pk.stats().launches)
    assert counts[0] and counts == [counts[0]] * 4


def test_mistakes_are_the_host_functions(ran):
    for _ in range(4):
        with pytest.raises(errors.ArgumentShapeError, match=r"softmax\(\): axis"):
            pk.ops.softmax(sample(4, 8), axis=5)
        with pytest.raises(errors.ArgumentTypeError):
            pk.ops.softmax([1.0, 2.0])
    assert not ran and not [e for e in entries(pk.ops.softmax) if type(e) is Replay]


def test_a_function_that_reads_data_is_not_replayed(ran):
    a, b = sample(6, 4), sample(2, 4, 3)
    for cut in (1, 2, 3, 4, 5):
        got = pk.ops.grouped_matmul(a, b, np.array([0, cut, 6]))
        want = np.concatenate([a[:cut] @ b[0], a[cut:] @ b[1]])
        np.testing.assert_allclose(got, want, atol=1e-5)
    assert not ran


def test_a_function_that_decides_by_state_is_not_replayed(ran):
    def fickle(args, kwargs):
        fickle.calls += 1
        return pk.ops.softmax.function(args[0], axis=fickle.calls % 2)

    fickle.calls = 0
    calls = Replays(fickle)
    x = sample(4, 8)
    for i in range(8):
        np.testing.assert_allclose(calls((x,), {}), softmax(x, (i + 1) % 2), rtol=1e-5)
    assert fickle.calls == 8 and not ran


def test_functions_are_told_apart(ran):
    def shifted(by):
        return lambda v: v + by

    double, triple = lambda v: v * 2, lambda v: v * 3
    for i in range(4):
        x = sample(5, 3)
        np.testing.assert_array_equal(pk.ops.elementwise(double, x), x * 2)
        np.testing.assert_array_equal(pk.ops.elementwise(triple, x), x * 3)
        np.testing.assert_array_equal(pk.ops.elementwise(shifted(i), x), x + i)
    assert sum(ran) == 4


@pk.kernel
def times(x, out, B: pk.constexpr[int] = 16):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) * FACTOR)


FACTOR = 2.0


def test_an_assigned_global_is_seen(ran, monkeypatch):
    from portkernel.kernels.arrays import empty

    def host(args, kwargs):
        out = empty(args[0], (16,), pk.float32)
        times[(1,)](args[0], out)
        return out

    calls = Replays(host)
    x = sample(16)
    for _ in range(4):
        np.testing.assert_array_equal(calls((x,), {}), 2 * x)
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    for _ in range(4):
        np.testing.assert_array_equal(calls((x,), {}), 3 * x)
    assert sum(ran) == 4


def _poisoned(make):
    def poisoned():
        array, address = make()
        ctypes.memset(address, 0xFF, array.nbytes)
        return array, address

    return poisoned


def _bits(found):
    found = found if isinstance(found, (tuple, list)) else (found,)
    return [(f.shape, f.dtype, f.tobytes()) for f in map(np.asarray, found)]


def _outcome(call, args, kwargs):
    try:
        return _bits(call(*args, **kwargs))
    except errors.ArgumentError as error:  # offsets that do not rise, now that they are turned round
        return type(error), str(error)


@pytest.mark.parametrize("name", sorted(makers()))
def test_every_operator_gives_what_its_function_gives(name, ran, monkeypatch):
    """On other values than those that were recorded, and on poisoned outputs and scratch memory."""
    make = replay._maker
    monkeypatch.setattr(replay, "_maker", lambda allocation: _poisoned(make(allocation)))
    op = pk.ops.find(name)
    with pk.use(backend="numpy"), np.errstate(all="ignore"):
        for sample in samples(name, "float32")[:3]:
            args = [np.array(a) if isinstance(a, np.ndarray) and a.flags.c_contiguous else a for a in sample.args]
            try:
                op(*args, **sample.kwargs)
            except errors.PortkernelError:
                continue
            op(*args, **sample.kwargs)
            for a in args:
                if isinstance(a, np.ndarray) and a.flags.writeable and a.flags.c_contiguous:
                    a[...] = a.ravel()[::-1].reshape(a.shape).copy()
            want = _outcome(op.function, args, sample.kwargs)
            assert _outcome(op, args, sample.kwargs) == want, sample.label


@pytest.mark.parametrize("wrap", [lambda x: x, torch.from_numpy], ids=["numpy", "torch"])
def test_more_dimensions_than_a_launch_takes_are_left_to_the_host_function(ran, wrap):
    for _ in range(5):
        x = sample(2, 1, 3, 1, 2, 1, 2)
        np.testing.assert_allclose(np.asarray(pk.ops.exp(wrap(x))), np.exp(x), rtol=1e-6)
        np.testing.assert_allclose(np.asarray(pk.ops.sum(wrap(x), axis=2)), x.sum(2), rtol=1e-5, atol=1e-6)
    assert not ran


def test_the_number_of_signatures_is_bounded(monkeypatch):
    monkeypatch.setattr("portkernel.ops.replay._SIGNATURES", 3)
    with pk.use(backend="numpy"):
        for n in range(1, 9):
            pk.ops.softmax(sample(2, n))
    found = entries(pk.ops.softmax)
    assert len(found) <= 4 and all(type(e) is _Trial for e in found)
