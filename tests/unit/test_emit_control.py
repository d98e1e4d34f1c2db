"""Control flow, local memory, atomics and reports of the C family, run in emulation and on PoCL."""

from __future__ import annotations

import numpy as np
import pytest
from simt_kit import Kit, run, run_cuda_on_cpu

from portkernel import targets
from portkernel.backends.base import Param
from portkernel.backends.c.cuda import CudaBackend
from portkernel.backends.c.emit import emit_text
from portkernel.backends.c.names import Names, identifier
from portkernel.backends.c.opencl import OpenCL, OpenCLBackend
from portkernel.dtypes import DType, bool_, float8_e5m2, float16, float32, float64, int8, int32, int64, uint32, uint64
from portkernel.errors import DeviceAssertionError, InternalError, UnsupportedDTypeError
from portkernel.ir import Assert, AtomicRMW, Cast, Dot, If, Load, Print, Select, Unary, Value, While
from portkernel.ir import simt as s
from portkernel.ir.core import Op
from portkernel.targets import variant

ROUTES = ["cuda", "opencl"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("trips", [0, 1, 2, 5])
def test_yields_are_a_parallel_assignment(route: str, trips: int) -> None:
    kit = Kit()
    out = kit.tensor("out", int32)
    inits = tuple(kit.const(v, int32) for v in (1, 2, 3, 10))

    def body(i: Value, a: Value, b: Value, c: Value, total: Value) -> tuple[Value, ...]:
        return b, c, kit.binary("add", a, b), kit.binary("sub", a, total)

    for k, value in enumerate(kit.loop(trips, inits, body)):
        kit.write(out, kit.const(k, int32), value)
    got = np.zeros(4, np.int32)
    run(route, kit.source(route), (1,), {"out": got})
    a, b, c, total = 1, 2, 3, 10
    for _ in range(trips):
        a, b, c, total = b, c, a + b, a - total
    assert got.tolist() == [a, b, c, total]


@pytest.mark.parametrize("route", ROUTES)
def test_while_and_if(route: str) -> None:
    """Steps of the Collatz sequence."""
    kit = Kit()
    x, out = kit.tensor("x", int64), kit.tensor("out", int32)
    at = kit.program_id()
    n0, steps0 = kit.read(x, at), kit.const(0, int32)
    n, steps = Value(s.Vec(int64), "n"), Value(s.Vec(int32), "steps")
    m, count = Value(s.Vec(int64)), Value(s.Vec(int32))

    def body() -> tuple[Value, ...]:
        odd = kit.binary("eq", kit.binary("mod", m, 2), 1)
        then = kit.block((), lambda: (kit.binary("add", kit.binary("mul", m, 3), 1),))
        orelse = kit.block((), lambda: (kit.binary("floordiv", m, 2),))
        (next_,) = kit.emit(If, s.Vec(int64), cond=odd, then=then, orelse=orelse).results
        return next_, kit.binary("add", count, 1)

    cond = kit.block((n, steps), lambda: (kit.binary("gt", n, 1),))
    block = kit.block((m, count), body)
    loop = kit.emit(While, s.Vec(int64), s.Vec(int32), inits=(n0, steps0), cond=cond, body=block)
    kit.write(out, at, loop.results[1])
    values = np.arange(1, 30)
    got = np.zeros(29, np.int32)
    run(route, kit.source(route), (29,), {"x": values, "out": got})

    def collatz(v: int) -> int:
        return 0 if v <= 1 else 1 + collatz(3 * v + 1 if v % 2 else v // 2)

    assert got.tolist() == [collatz(int(v)) for v in values]


def reverse(threads: int, size: int) -> Kit:
    """Each group reverses its slice by way of ``size`` elements of local memory."""
    kit = Kit("reverse", threads)
    x, out = kit.tensor("x", float32), kit.tensor("out", float32)
    buffer = kit.emit(s.Alloc, s.Pointer(float32, "local"), size=size, hint="shared").result
    thread = kit.emit(s.ThreadId, s.Vec(int32)).result
    at = kit.binary("add", kit.binary("mul", kit.program_id(), threads), thread)
    kit.write(buffer, thread, kit.read(x, at))
    kit.emit(s.Barrier)
    last = kit.const(threads - 1, int32)
    kit.write(out, at, kit.read(buffer, kit.binary("sub", last, thread)))
    return kit


@pytest.mark.parametrize(("route", "size"), [("opencl", 128), ("cuda", 128), ("cuda", 20000)])
def test_local_memory_and_barriers(route: str, size: int) -> None:
    source = reverse(128, size).source(route)
    x = np.arange(128 * 5, dtype=np.float32)
    got = np.zeros_like(x)
    run(route, source, (5,), {"x": x, "out": got})
    assert np.array_equal(got, x.reshape(5, 128)[:, ::-1].ravel())
    assert source.local_bytes == (
        80000 // 128 * 128 + 128 * (80000 % 128 > 0) if (route, size) == ("cuda", 20000) else 0
    )


@pytest.mark.parametrize(("dtype", "size"), [(float32, 10), (float16, 10), (float64, 5)])
def test_private_memory_is_counted(dtype: DType, size: int) -> None:
    """Four bytes an element at least: dialects without arithmetic in float16 keep float32."""
    kit = reverse(32, 32)
    assert kit.source("opencl").private_bytes == 0
    kit.emit(s.Alloc, s.Pointer(dtype, "private"), size=size, hint="own")
    assert kit.source("opencl").private_bytes == 40


def test_emulation_sees_a_race_and_a_divergent_barrier() -> None:
    kit = reverse(32, 32)
    kit.scopes[0] = [op for op in kit.scopes[0] if not isinstance(op, s.Barrier)]
    x = np.arange(32, dtype=np.float32)
    one, other = np.zeros_like(x), np.zeros_like(x)
    run_cuda_on_cpu(kit.source("cuda"), (1,), {"x": x, "out": one}, order="forward")
    run_cuda_on_cpu(kit.source("cuda"), (1,), {"x": x, "out": other}, order="backward")
    assert not np.array_equal(one, other)
    kit = Kit(threads=32)
    thread = kit.emit(s.ThreadId, s.Vec(int32)).result

    def wait() -> tuple[Value, ...]:
        kit.emit(s.Barrier)
        return ()

    kit.emit(If, cond=kit.binary("lt", thread, 5), then=kit.block((), wait), orelse=kit.block((), tuple))
    with pytest.raises(InternalError, match="divergent"):
        run_cuda_on_cpu(kit.source("cuda"), (1,), {})


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", [int32, uint32, int64, uint64, float32, float64], ids=str)
def test_atomics(dtype: object, route: str) -> None:
    fns = ["add", "max", "min", "xchg"] + (["and", "or", "xor"] if dtype.is_integer else [])  # type: ignore[attr-defined]
    kit = Kit(threads=64)
    x, out, before = kit.tensor("x", dtype), kit.tensor("out", dtype), kit.tensor("before", dtype)  # type: ignore[arg-type]
    at = kit.position()
    value = kit.read(x, at)
    for k, fn in enumerate(fns):
        index = kit.const(k, int32)
        old = kit.emit(s.AtomicElem, value.type, fn=fn, pointer=out, index=index, value=value).result
        if fn == "xchg":
            kit.write(before, at, old)
    expected = kit.read(before, kit.const(128, int32))
    swapped = kit.emit(
        s.AtomicCasElem, value.type, pointer=out, index=kit.const(7, int32), expected=expected, value=value
    ).result
    kit.write(before, kit.binary("add", at, 129), swapped)
    rng = np.random.default_rng(5)
    d = dtype.np  # type: ignore[attr-defined]
    data = rng.integers(0, 100, 128).astype(d) if d.kind != "u" else rng.integers(0, 2**31, 128).astype(d)
    if d.kind == "i":
        data = data - d.type(50)
    start = np.full(8, 3, d)
    got, olds = start.copy(), np.zeros(128 * 2 + 1, d)
    olds[128] = 3  # the first thread to swap finds it
    run(route, kit.source(route), (2,), {"x": data, "out": got, "before": olds})
    assert got[0] == data.sum(dtype=d) + start[0]
    assert got[1] == max(data.max(), 3) and got[2] == min(data.min(), 3)
    assert sorted([*olds[:128], got[3]]) == sorted([*data, start[3]])
    if d.kind != "f":
        folds = (np.bitwise_and, np.bitwise_or, np.bitwise_xor)
        assert [got[4 + i] for i in range(3)] == [f.reduce(np.append(data, start[0])) for f in folds]
    assert got[7] in data


@pytest.mark.parametrize("route", ROUTES)
def test_atomic_maximum_keeps_a_nan(route: str) -> None:
    kit = Kit(threads=64)
    x, out = kit.tensor("x", float32), kit.tensor("out", float32)
    value = kit.read(x, kit.position())
    kit.emit(s.AtomicElem, value.type, fn="max", pointer=out, index=kit.const(0, int32), value=value)
    data = np.arange(64, dtype=np.float32)
    data[20] = np.nan
    got = np.zeros(1, np.float32)
    run(route, kit.source(route), (1,), {"x": data, "out": got})
    assert np.isnan(got[0])


@pytest.mark.parametrize("route", ROUTES)
def test_scalars_and_assertions(route: str) -> None:
    kit = Kit()
    out = kit.tensor("out", float32)
    h, flag, n, small = (kit.scalar(*a) for a in (("h", float16), ("flag", bool_), ("n", int64), ("i", int8)))

    def wide(v: Value) -> Value:
        return kit.emit(Cast, s.Vec(float32), x=v).result

    total = kit.binary("add", kit.binary("add", wide(h), wide(n)), wide(small))
    kit.write(out, kit.const(0, int32), kit.emit(Select, s.Vec(float32), cond=flag, x=total, y=wide(h)).result)
    kit.emit(Assert, message="n is small", cond=kit.binary("lt", n, 1000))
    kit.emit(Assert, message="flag is set", cond=flag)
    source = kit.source(route)
    got = np.zeros(1, np.float32)
    run(route, source, (1,), {"out": got, "h": 0.5, "flag": True, "n": -7, "i": -3})
    assert got[0] == -9.5
    assert [m for m, _ in source.asserts] == ["n is small", "flag is set"]
    if route == "cuda":
        with pytest.raises(DeviceAssertionError, match="flag is set"):
            run(route, source, (1,), {"out": got, "h": 0.5, "flag": False, "n": -7, "i": -3})


def test_print_names_the_program(capfd: pytest.CaptureFixture[str]) -> None:
    kit = Kit()
    kit.emit(Print, prefix='100% of "x"', xs=(kit.const(1.5, float32), kit.const(-3, int64), kit.const(True, bool_)))
    run("cuda", kit.source("cuda"), (2,), {})
    assert capfd.readouterr().out.splitlines() == [f'pid ({i}, 0, 0): 100% of "x" 1.5 -3 1' for i in range(2)]


def test_lines_lead_back_to_the_kernel() -> None:
    source = reverse(64, 64).source("cuda")
    lines = source.text.splitlines()
    row = next(i for i, text in enumerate(lines, 1) if "__syncthreads" in text)
    loc = source.loc_of(row)
    assert loc is not None and loc.file == "kit.py"
    barrier = next(op for op in reverse(64, 64).scopes[0] if isinstance(op, s.Barrier))
    assert loc.line == barrier.loc.line


def test_numbered_names_are_no_types() -> None:
    """The eighth and the 64th loop index would be i8 and i64, which CUDA's text defines as types."""
    names = Names()
    made = [names.fresh("", "i") for _ in range(70)]
    assert {"i8", "i64"}.isdisjoint(made)
    assert len(set(made)) == 70


def test_names_avoid_what_the_languages_have_taken() -> None:
    names = Names()
    assert names.fresh("acc") == "acc"
    assert names.fresh("acc") == "acc_2"
    assert names.fresh("acc_2") == "acc_2_2"
    assert names.fresh("float4") == "float4_"
    assert names.fresh("kernel") == "kernel_"
    assert names.fresh("größe x") == "gr_e_x"
    assert identifier("3x") == "v3x"
    assert [names.fresh(""), names.fresh("")] == ["t1", "t2"]


def test_text_is_reproducible() -> None:
    for route in ROUTES:
        assert reverse(64, 64).source(route) == reverse(64, 64).source(route)


def test_support_follows_the_handlers_and_the_target() -> None:
    opencl, cuda = OpenCLBackend(), CudaBackend()
    cpu, h100 = targets.find("opencl-cpu"), targets.find("nvidia-h100")
    assert opencl.supports(Unary, float32, cpu).state == "native"
    assert opencl.supports(Unary, float16, cpu).state == "emulated"
    assert cuda.supports(Load, float8_e5m2, h100).state == "emulated"
    assert not cuda.supports(Unary, float8_e5m2, h100)
    assert cuda.supports(Dot, float64, h100).state == "native"
    assert not cuda.supports(AtomicRMW, int8, h100)
    assert not opencl.supports(Unary, float64, variant(cpu, absent=frozenset({"float64"})))

    class Foreign(Op):
        pass

    assert "Foreign" in opencl.supports(Foreign, float32, cpu).reason


def test_an_operation_without_a_handler_is_our_defect() -> None:
    kit = Kit()
    x = Value(s.Vec(float32))
    kit.emit(Load, s.Vec(float32), tensor=x, offsets=(), pad=x)
    kit.write(kit.tensor("out", float32), kit.const(0, int32), kit.scopes[0][0].result)
    with pytest.raises(InternalError, match="no handler for Load"):
        kit.source("cuda")
    kit = Kit()
    kit.write(kit.tensor("out", float32), kit.const(0, int32), x)
    with pytest.raises(InternalError, match="before its definition"):
        kit.source("cuda")


def test_what_the_target_lacks_is_an_error_at_its_operation() -> None:
    kit = Kit()
    wide = kit.emit(Cast, s.Vec(float64), x=kit.const(1.5, float32)).result
    kit.write(kit.tensor("out", float64), kit.const(0, int32), wide)
    params = tuple(Param(p.hint, p.type) for p in kit.params)  # type: ignore[arg-type]
    lacking = variant(targets.find("opencl-gpu"), absent=frozenset({"float64"}))
    with pytest.raises(UnsupportedDTypeError, match="opencl-gpu has no float64"):
        emit_text(kit.func(), OpenCL(), lacking, params)
    for dtype, changes in ((int8, {}), (int64, {"features": frozenset()})):
        kit = Kit()
        out, one = kit.tensor("out", dtype), kit.const(1, dtype)
        op = kit.emit(s.AtomicElem, one.type, fn="add", pointer=out, index=kit.const(0, int32), value=one)
        params = tuple(Param(p.hint, p.type) for p in kit.params)  # type: ignore[arg-type]
        with pytest.raises(UnsupportedDTypeError, match=rf"atomic_add\(\): x: expected .*, got {dtype}") as raised:
            emit_text(kit.func(), OpenCL(), variant(targets.find("opencl-gpu"), **changes), params)
        assert raised.value.loc == op.loc


def test_a_bound_that_is_an_expression_is_computed_once() -> None:
    """Also where two loops in different blocks share it."""
    kit = Kit()
    out = kit.tensor("out", float32)
    never = kit.const(float("-inf"), float32)
    thread = kit.program_id()

    def fill(_: Value, total: Value) -> tuple[Value, ...]:
        return (kit.binary("max", total, never),)

    def branch() -> tuple[Value, ...]:
        return kit.loop(3, (kit.const(2.0, float32),), fill)

    cond = kit.binary("eq", thread, 0)
    (value,) = kit.emit(If, s.Vec(float32), cond=cond, then=kit.block((), branch), orelse=kit.block((), branch)).results
    kit.write(out, thread, value)
    for route in ROUTES:
        got = np.zeros(2, np.float32)
        run(route, kit.source(route), (2,), {"out": got})
        assert got.tolist() == [2.0, 2.0]
