"""Random well-typed kernels as text, for property tests. Needs the package hypothesis.

Only operations whose result the contract fixes to the bit are drawn: correctly rounded arithmetic, integers, order
and selection, so every backend must give what NumPy gives. Sums and products along an axis are drawn for integers;
floats divide by constants alone (the sign of a zero, which ``maximum`` may choose, would show in 1 / 0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from .. import dtypes as d
from ..catalog import Array, poison
from ..dtypes import DType, accumulator, promote
from ..errors import MissingDependencyError
from .case import specials, values

try:
    from hypothesis import strategies as st
except ImportError:
    raise MissingDependencyError(
        "portkernel.testing.programs: expected the package hypothesis, got none", hint="pip install hypothesis"
    ) from None

T = TypeVar("T")
Shape = tuple[int, int]

_DTYPES = (
    d.float32, d.float64, d.float16, d.bfloat16, d.int8, d.int16, d.int32, d.int64, d.uint8, d.uint32, d.bool_,
)  # fmt: skip
_SIDES = (1, 2, 3, 5, 8, 17, 32)


@dataclass(frozen=True, slots=True)
class Program:
    """A kernel's text, the arrays it reads and writes (dtype, shape), and the grid."""

    text: str
    inputs: tuple[tuple[str, DType, Shape], ...]
    outputs: tuple[tuple[str, DType, Shape], ...]
    grid: tuple[int, int]
    seed: int

    def arguments(self) -> dict[str, Array]:
        """Fresh arguments, the same at every call: random elements with special values among them; poisoned outputs."""
        rng = np.random.default_rng(self.seed)
        made: dict[str, Array] = {}
        for name, dtype, shape in self.inputs:
            x = values(rng, shape, dtype)
            rare = rng.integers(0, 8, shape) == 0
            made[name] = np.where(rare, rng.choice(specials(dtype), shape), x)
        return made | {name: poison(shape, dtype) for name, dtype, shape in self.outputs}


@dataclass(frozen=True, slots=True)
class _Tile:
    name: str
    shape: Shape
    dtype: DType


@dataclass(slots=True)
class _Writer:
    """Draws statements and keeps the types of the variables."""

    draw: Callable[[Any], Any]
    side: Shape
    inputs: tuple[tuple[str, DType, Shape], ...]
    lines: list[str] = field(default_factory=list)
    tiles: list[_Tile] = field(default_factory=list)
    indent: str = "    "
    count: int = 0

    def pick(self, items: tuple[T, ...] | list[T]) -> T:
        return self.draw(st.sampled_from(items))  # type: ignore[no-any-return]

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))  # type: ignore[no-any-return]

    def pair(self) -> tuple[_Tile, _Tile]:
        """Two tiles that combine: uint64 and a signed integer have no common type."""
        x = self.pick(self.tiles)
        return x, self.pick([t for t in self.tiles if _combine(x.dtype, t.dtype)])

    def put(self, line: str) -> None:
        self.lines.append(self.indent + line)

    def name(self, prefix: str = "t") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def define(self, text: str, shape: Shape, dtype: DType) -> _Tile:
        tile = _Tile(self.name(), shape, dtype)
        self.put(f"{tile.name} = {text}")
        self.tiles.append(tile)
        return tile

    # --- expressions: text, shape, dtype -------------------------------------------------------------------

    def expression(self) -> tuple[str, Shape, DType]:
        makers = (
            self.binary,
            self.unary,
            self.choice,
            self.cast,
            self.fold,
            self.scan,
            self.turned,
            self.gathered,
            self.compare,
        )
        return self.pick(makers)()

    def scalar(self, dtype: DType) -> str:
        if dtype.is_bool:
            return self.pick(("True", "False"))
        if dtype.is_float:
            return self.pick(("0.5", "2.0", "-3.0", "0.25", "1"))
        return str(self.number(max(dtype.min, -5), 9))

    def binary(self) -> tuple[str, Shape, DType]:
        x, y = self.pair()
        dtype = promote(x.dtype, y.dtype)
        shape = (max(x.shape[0], y.shape[0]), max(x.shape[1], y.shape[1]))
        if dtype.is_bool:
            return f"{x.name} {self.pick('&|^')} {y.name}", shape, dtype
        if dtype.is_float:
            kind = self.pick(("+", "-", "*", "max", "min", "scalar", "/"))
            if kind == "/":
                return f"{x.name} / {self.pick(('2.0', '-3.0', '0.1'))}", x.shape, d.floating(x.dtype)
        else:
            kind = self.pick(("+", "-", "*", "//", "%", "&", "|", "^", "max", "min", "<<", ">>", "scalar"))
        if kind == "scalar":
            if x.dtype.is_bool:
                return f"{x.name} ^ {self.scalar(x.dtype)}", x.shape, x.dtype
            return f"{x.name} {self.pick('+-*')} {self.scalar(x.dtype)}", x.shape, x.dtype
        if kind in ("max", "min"):
            return f"pk.{kind}imum({x.name}, {y.name})", shape, dtype
        return f"{x.name} {kind} {y.name}", shape, dtype

    def unary(self) -> tuple[str, Shape, DType]:
        x = self.pick(self.tiles)
        if x.dtype.is_bool:
            return f"~{x.name}", x.shape, x.dtype
        if x.dtype.is_float:
            fn = self.pick(("pk.floor", "pk.ceil", "pk.trunc", "pk.round", "pk.abs", "-", "pk.sqrt", "pk.sign"))
        else:
            fn = self.pick(("-", "pk.abs", "~", "pk.sign"))
        return f"{fn}({x.name})", x.shape, x.dtype

    def compare(self) -> tuple[str, Shape, DType]:
        x, y = self.pair()
        shape = (max(x.shape[0], y.shape[0]), max(x.shape[1], y.shape[1]))
        return f"{x.name} {self.pick(('<', '<=', '>', '>=', '==', '!='))} {y.name}", shape, d.bool_

    def choice(self) -> tuple[str, Shape, DType]:
        text, shape, _ = self.compare()
        x, y = self.pair()
        sides = [shape, x.shape, y.shape]
        whole = (max(s[0] for s in sides), max(s[1] for s in sides))
        return f"pk.where({text}, {x.name}, {y.name})", whole, promote(x.dtype, y.dtype)

    def cast(self) -> tuple[str, Shape, DType]:
        x, dtype = self.pick(self.tiles), self.pick(_DTYPES)
        return f"{x.name}.astype(pk.{_public(dtype)})", x.shape, dtype

    def fold(self) -> tuple[str, Shape, DType]:
        x, axis = self.pick(self.tiles), self.number(0, 1)
        shape = (1, x.shape[1]) if axis == 0 else (x.shape[0], 1)
        if x.dtype.is_bool:
            return f"pk.{self.pick(('any', 'all'))}({x.name}, axis={axis}, keepdims=True)", shape, x.dtype
        names = ("max", "min", "argmax", "argmin") + (() if x.dtype.is_float else ("sum", "prod"))
        fn = self.pick(names)
        dtype = d.int32 if fn.startswith("arg") else accumulator(x.dtype) if fn in ("sum", "prod") else x.dtype
        return f"pk.{fn}({x.name}, axis={axis}, keepdims=True)", shape, dtype

    def scan(self) -> tuple[str, Shape, DType]:
        x = self.pick(self.tiles)
        if x.dtype.is_bool:
            return f"~{x.name}", x.shape, x.dtype
        fn = self.pick(("cummax", "cummin") if x.dtype.is_float else ("cummax", "cummin", "cumsum"))
        dtype = accumulator(x.dtype) if fn == "cumsum" else x.dtype
        return f"pk.{fn}({x.name}, axis={self.number(0, 1)}, reverse={self.pick((True, False))})", x.shape, dtype

    def turned(self) -> tuple[str, Shape, DType]:
        x = self.pick(self.tiles)
        m, n = x.shape
        return self.pick((f"{x.name}.reshape({n}, {m}).T", f"{x.name}.T.reshape({m}, {n})")), x.shape, x.dtype

    def gathered(self) -> tuple[str, Shape, DType]:
        name, dtype, _ = self.pick(self.inputs)
        m, n = self.side
        rows = f"(pk.arange({m}) * {self.number(-2, 3)} + {self.number(-3, 20)})[:, None]"
        columns = f"(pk.arange({n}) * {self.number(-2, 3)} + {self.number(-3, 20)} + i)[None, :]"
        return f"pk.gather({name}, ({rows}, {columns}), pad={self.scalar(dtype)})", self.side, dtype

    # --- statements ----------------------------------------------------------------------------------------

    def statement(self) -> None:
        kind = self.pick(("assign", "assign", "assign", "assign", "loop", "branch", "swap"))
        if kind == "assign":
            self.define(*self.expression())
        elif kind == "loop":
            self.loop()
        elif kind == "branch":
            self.branch()
        else:
            self.swap()

    def fit(self, text: str, shape: Shape, dtype: DType, like: _Tile) -> str:
        """The expression in the type of ``like``."""
        if dtype != like.dtype:
            text = f"({text}).astype(pk.{_public(like.dtype)})"
        if shape == like.shape:
            return text
        if all(a in (1, b) for a, b in zip(shape, like.shape, strict=True)):
            return f"pk.broadcast_to({text}, {like.shape})"
        return f"pk.extract({text}, (0, 0), {tuple(min(a, b) for a, b in zip(shape, like.shape, strict=True))})"

    def update(self, tile: _Tile) -> None:
        """Give ``tile`` another value of its type, by way of locals that are not seen outside."""
        outside = list(self.tiles)
        if self.number(0, 1):
            self.define(*self.expression())
        text, shape, dtype = self.expression()
        self.tiles = outside
        fitted = self.fit(text, shape, dtype, tile)
        narrow = any(a != b for a, b in zip(shape, tile.shape, strict=True)) and "pk.extract" in fitted
        self.put(f"{tile.name} = pk.broadcast_to({fitted}, {tile.shape})" if narrow else f"{tile.name} = {fitted}")

    def loop(self) -> None:
        tile = self.pick(self.tiles)
        trips = self.pick((str(self.number(0, 4)), "i + 1", "n"))
        self.put(f"for {self.name('k')} in range({trips}):")
        before, self.indent = self.indent, self.indent + "    "
        self.update(tile)
        self.indent = before

    def branch(self) -> None:
        tile = self.pick(self.tiles)
        self.put(self.pick(("if i % 2 == 0:", "if n > 2 and i != 1:", "if i < n:")))
        before, self.indent = self.indent, self.indent + "    "
        self.update(tile)
        if self.number(0, 1):
            self.indent = before
            self.put("else:")
            self.indent = before + "    "
            self.update(tile)
        self.indent = before

    def swap(self) -> None:
        x = self.pick(self.tiles)
        same = [t for t in self.tiles if t.shape == x.shape and t.dtype == x.dtype and t != x]
        if not same:
            self.define(*self.expression())
            return
        y = self.pick(same)
        self.put(f"for {self.name('k')} in range(n):")
        self.put(f"    {x.name}, {y.name} = {y.name}, {x.name}")


def _combine(a: DType, b: DType) -> bool:
    kinds = {a.kind, b.kind}
    return kinds != {"i", "u"} or d.uint64 not in (a, b)


def _public(dtype: DType) -> str:
    return "bool_" if dtype.is_bool else dtype.name


@st.composite
def programs(draw: Callable[[Any], Any], statements: int = 8) -> Program:
    """A strategy of kernels with up to ``statements`` statements, two inputs and one to three outputs."""
    side = (draw(st.sampled_from(_SIDES)), draw(st.sampled_from(_SIDES)))
    grid = (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    cut = draw(st.integers(0, min(side) - 1))  # the last tiles stick out
    whole = (side[0] * grid[0] - cut, side[1] * grid[1] - cut)
    inputs = tuple((name, draw(st.sampled_from(_DTYPES)), whole) for name in ("x", "y"))
    writer = _Writer(draw, side, inputs)
    writer.put("i = pk.program_id(0)")
    writer.put("j = pk.program_id(1)")
    for name, dtype, _ in inputs:
        writer.define(f"pk.load({name}, (i, j), {side})", side, dtype)
    for _ in range(draw(st.integers(1, statements))):
        writer.statement()
    kept = writer.tiles[-draw(st.integers(1, 3)) :]
    outputs: list[tuple[str, DType, Shape]] = []
    for place, tile in enumerate(kept):
        writer.put(f"pk.store(out{place}, (i, j), pk.broadcast_to({tile.name}, {side}))")
        outputs.append((f"out{place}", tile.dtype, whole))
    names = ", ".join([n for n, _, _ in (*inputs, *outputs)] + ["n"])
    text = f"@pk.kernel\ndef random_kernel({names}):\n" + "\n".join(writer.lines) + "\n"
    return Program(text, inputs, tuple(outputs), grid, draw(st.integers(0, 2**16)))
