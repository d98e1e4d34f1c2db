"""The text under construction: names, indentation, source lines, and what the kernel needs beside its body."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterator
from contextlib import contextmanager

from ...dtypes import Scalar
from ...errors import InternalError, ResourceError, UnsupportedDTypeError
from ...ir import Func, Tensor, Tile, Value
from ...loc import UNKNOWN, Loc
from ..base import Param
from .bounds import nonnegative
from .prelude import HELPERS
from .signature import parameter_names
from .spell import along, padded, padded_side, range_of, shape_text, typed

_RESERVED = {"tl", "triton", "status", "entry", "range", "float", "INTERPRETED", *keyword.kwlist, *HELPERS}
MAX_ELEMENTS = 1 << 20
"""Triton's limit on the elements of one tensor (``TRITON_MAX_TENSOR_NUMEL``)."""


class Printer:
    """Lines of one function. ``tilewise`` is set inside combine functions, whose scalars stand for whole tiles."""

    def __init__(self, func: Func | None, outer: Printer | None = None) -> None:
        self.tilewise = outer is not None
        self.lines: list[str] = []
        self.locs: list[tuple[int, Loc]] = []
        self.prologue: list[str] = []
        self.helpers: list[str] = outer.helpers if outer else []
        self.functions: list[str] = outer.functions if outer else []
        self.asserts: list[tuple[str, Loc]] = outer.asserts if outer else []
        self.arguments: list[str] = []
        self.nonnegative: frozenset[Value] = nonnegative(func) if func else frozenset()
        self._taken: set[str] = outer._taken if outer else set(_RESERVED)
        self._names: dict[Value, str] = {}
        self._constants: dict[Value, Scalar] = dict(outer._constants) if outer else {}
        self._lanes: dict[tuple[int, ...], str] = {}
        self._depth = 1
        self._largest = 1
        self._loc = UNKNOWN
        for v in func.params if func else ():
            name = self.name_as(v, self.fresh(v.hint or "arg"))
            names = parameter_names(param(v), name)
            self._taken.update(names)
            self.arguments += names
            if not isinstance(v.type, Tensor):
                self._scalar_parameter(v, name)
        if func:
            self.arguments.append("status")

    def _scalar_parameter(self, v: Value, name: str) -> None:
        match v.tile.dtype.name:
            case "float16":
                self.prologue.append(f"    {name} = {name}.to(tl.float16)")
            case "bool":
                self.prologue.append(f"    {name} = {name} != 0")
            case "bfloat16":
                self.prologue.append(f"    {name} = {self.helper('_bf16')}({name})")
            case "float8_e4m3fn" | "float8_e5m2":
                raise UnsupportedDTypeError(
                    f"triton: {v.hint}: expected a scalar of a dtype with arithmetic, got {v.tile.dtype}",
                    hint="pass a float32, or an array of one element",
                )
            case _:
                pass

    # --- names

    def fresh(self, base: str) -> str:
        """A name not used before: ``base``, or ``base_1`` …"""
        base = "".join(c if c.isalnum() and c.isascii() else "_" for c in base) or "x"
        if base[0].isdigit():
            base = "x" + base
        name, count = base, 0
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name

    def name_as(self, value: Value, name: str) -> str:
        self._names[value] = name
        self._constants.pop(value, None)
        return name

    def constant(self, value: Value, what: Scalar) -> None:
        """``value`` is a scalar constant: written where it is used."""
        self._constants[value] = what

    def const_of(self, value: Value) -> Scalar | None:
        return self._constants.get(value)

    def use(self, value: Value) -> str:
        """An expression for ``value``, of exactly its dtype."""
        found = self._constants.get(value)
        if found is not None:
            return typed(found, value.tile.dtype)
        try:
            return self._names[value]
        except KeyError:
            raise InternalError(f"triton: a value is used before it is defined: {value}", loc=self._loc) from None

    def define(self, value: Value, expression: str) -> str:
        """A line that gives ``value`` a name."""
        size = math.prod(padded(value.tile.shape))
        self._largest = max(self._largest, size)
        if size > MAX_ELEMENTS:
            raise ResourceError(
                f"triton: tile: expected at most {MAX_ELEMENTS} elements, got {size} for {value.tile.shape}",
                loc=self._loc,
                hint="use smaller tiles",
            )
        name = self.fresh(value.hint or "v")
        self.line(f"{name} = {expression}")
        return self.name_as(value, name)

    def temp(self, base: str, expression: str) -> str:
        """A line that gives an intermediate result a name."""
        name = self.fresh(base)
        self.line(f"{name} = {expression}")
        return name

    # --- lines

    def at(self, loc: Loc) -> None:
        self._loc = loc
        if loc.is_known and (not self.locs or self.locs[-1][1] != loc):
            self.locs.append((len(self.lines) + 1, loc))

    def line(self, text: str) -> None:
        self.lines.append("    " * self._depth + text)

    @contextmanager
    def indented(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def nested(self) -> Printer:
        """A printer for a combine function of the same module."""
        return Printer(None, self)

    def helper(self, name: str) -> str:
        """The helper function ``name``, which the module will define."""
        if name not in self.helpers:
            self.helpers.append(name)
        return name

    # --- tensors

    def size(self, tensor: Value, axis: int) -> str:
        known = tensor.tensor.shape[axis]
        return f"{self._names[tensor]}_n{axis}" if known is None else str(known)

    def stride(self, tensor: Value, axis: int) -> str:
        known = tensor.tensor.strides[axis]
        return f"{self._names[tensor]}_s{axis}" if known is None else str(known)

    # --- tiles

    def padded_text(self, shape: tuple[int, ...]) -> str:
        return shape_text(padded(shape)) if shape else "()"

    def padded_size(self, shape: tuple[int, ...]) -> int:
        return math.prod(padded(shape))

    def lane_mask(self, shape: tuple[int, ...]) -> str | None:
        """A bool tile that is true where a padded tile holds an element of ``shape``; None if it has no padding."""
        if padded(shape) == shape:
            return None
        if shape not in self._lanes:
            parts = [along(f"({range_of(n)} < {n})", i, len(shape)) for i, n in enumerate(shape) if padded_side(n) != n]
            name = self.fresh("lanes")
            text = f"tl.broadcast_to({' & '.join(parts)}, {self.padded_text(shape)})"
            self.prologue.append(f"    {name} = {text}")
            self._lanes[shape] = name
        return self._lanes[shape]

    def warps(self) -> int:
        """How many warps a program runs: 4, or 8 where its largest tile has 16384 elements or more."""
        return 8 if self._largest >= 16384 else 4


def param(value: Value) -> Param:
    """The run-time parameter that a parameter of the function becomes."""
    if not isinstance(value.type, Tensor | Tile):
        raise InternalError(f"triton: a parameter of type {value.type}")
    return Param(value.hint, value.type)
