"""The text of a few SIMT functions in each dialect. NVRTC has to accept the CUDA ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from simt_kit import Kit

from portkernel.dtypes import bfloat16, bool_, float16, float32, int32, int64
from portkernel.ir import Binary, Cast, Select, Unary, Value
from portkernel.ir import simt as s


def scaled_sum() -> Kit:
    """A loop with carried values, float16 in memory."""
    kit = Kit("scaled_sum", 64)
    x, out = kit.tensor("x", float16), kit.tensor("out", float16)
    scale = kit.scalar("scale", float32)
    at = kit.position()

    def body(i: Value, total: Value, last: Value) -> tuple[Value, ...]:
        index = kit.binary("add", kit.binary("mul", i, 64), kit.emit(Cast, s.Vec(int64), x=at).result)
        element = kit.emit(Cast, s.Vec(float32), x=kit.read(x, index, hint="element")).result
        return kit.emit(s.Mad, s.Vec(float32), x=element, y=scale, z=total).result, element

    total, last = kit.loop(8, (kit.const(0.0, float32), kit.const(-1.0, float32)), body, unroll=4)
    kit.write(out, at, kit.emit(Cast, s.Vec(float16), x=kit.binary("sub", total, last)).result)
    return kit


def gelu_of_bfloat16(lanes: int = 1) -> Kit:
    kit = Kit("gelu", 1 if lanes > 1 else 128)
    x, out = kit.tensor("x", bfloat16), kit.tensor("out", bfloat16)
    kind = s.Vec(bfloat16, lanes)
    at = kit.position(lanes)
    v = kit.read(x, at, lanes, hint="v")
    phi = kit.emit(Unary, kind, fn="erf", x=kit.binary("mul", v, 0.70710678)).result
    half = kit.binary("mul", kit.binary("add", phi, 1.0), 0.5)
    positive = kit.emit(Binary, s.Vec(bool_, lanes), fn="gt", x=v, y=kit.const(-8.0, bfloat16, lanes)).result
    kit.write(out, at, kit.emit(Select, kind, cond=positive, x=kit.binary("mul", v, half), y=kit.const(0.0, bfloat16, lanes)).result)  # fmt: skip
    return kit


def index_arithmetic() -> Kit:
    """Wrapping arithmetic, floor division, shifts, saturation."""
    kit = Kit("kernel", 32)  # a name that the languages have taken
    x, out = kit.tensor("float4", float32), kit.tensor("out", int32)
    at = kit.position()
    n = kit.emit(Cast, s.Vec(int32), x=kit.read(x, at)).result
    row, column = kit.binary("floordiv", n, 7, hint="row"), kit.binary("mod", n, 7, hint="column")
    mixed = kit.binary("xor", kit.binary("shl", row, 3), kit.binary("max", column, at))
    kit.write(out, at, kit.binary("sub", kit.binary("mul", mixed, row), kit.binary("add", column, 1)))
    return kit


CASES: dict[str, Callable[[], Kit]] = {
    "scaled_sum": scaled_sum,
    "gelu": gelu_of_bfloat16,
    "gelu_x8": lambda: gelu_of_bfloat16(8),
    "index_arithmetic": index_arithmetic,
}
ROUTES = ("opencl", "cuda", "hip", "musa")
TEXTS = [(name, route) for name in CASES for route in ROUTES if name != "gelu_x8" or route == "opencl"]


@pytest.mark.parametrize(("name", "route"), TEXTS)
def test_text(name: str, route: str, golden: Callable[[str, str], None]) -> None:
    source = CASES[name]().source(route)
    golden(f"emit/{name}{source.suffix}", source.text)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("name", [name for name, route in TEXTS if route == "cuda"])
def test_nvrtc_accepts_the_text(name: str, arch: str) -> None:
    nvrtc = pytest.importorskip("cupy").cuda.nvrtc  # needs no driver
    source = CASES[name]().source("cuda")
    program = nvrtc.createProgram(source.text, "kernel.cu", (), ())
    flags = dict(source.options)["flags"]
    try:
        nvrtc.compileProgram(program, (f"--gpu-architecture={arch}", *flags))  # type: ignore[misc]
    except Exception as e:
        raise AssertionError(nvrtc.getProgramLog(program)) from e
    assert source.entry.encode() in nvrtc.getPTX(program)
