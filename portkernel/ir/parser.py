"""Reading back what the printer writes, so that a dumped stage can be edited and put in its place again."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import fields, replace
from typing import NoReturn

from ..dtypes import BY_NAME
from ..errors import InternalError, StageError
from ..loc import Loc
from .core import Block, Func, Op, Value, field_names
from .ops import TILE_OPS
from .printer import print_func
from .types import Tile
from .verify import verify

_OPS: dict[str, type[Op]] = {op.__name__: op for op in TILE_OPS}
_OPTIONAL = {op: frozenset(f.name for f in fields(op) if "None" in str(f.type)) for op in TILE_OPS}
_DEFINITION = re.compile(r"%([\w.]+): (\w+)(?:\[([\d, ]*)\])?(?:, |$)")
_STATEMENT = re.compile(r"(?:(%.*?) = )?((\w+)\(.*\))")
_REGION = re.compile(r"(\w+)\((.*)\):")
_USE = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|%([\w.]+)""")
_STAND_IN = "_portkernel_value_"
_FLOATS = {"inf": math.inf, "nan": math.nan}


def parse_func(text: str, like: Func, file: str) -> Func:
    """The function that ``text`` prints, a variant of ``like``: its header and constants must be those of ``like``.

    Operations are located in ``file``, which ``text`` was read from. Raises :class:`~portkernel.errors.StageError` for
    text that the printer would not write, and for a function that breaks a rule of the IR.
    """
    reader = _Reader(text, like, file)
    made = Func(like.name, like.params, reader.body(), like.constants, like.loc)
    try:
        verify(made)
    except InternalError as e:
        raise StageError(f"parse_func(): text: expected valid IR, got: {e.message}", loc=e.loc) from None
    except Exception as e:  # the verifier trusts the kinds of fields, which nobody has checked here
        raise StageError(
            f"parse_func(): text: expected valid IR, got {type(e).__name__}: {e}", loc=Loc(file, 1)
        ) from None
    return made


class _Reader:
    """One pass over the lines. Names are unique in a function, so one table of values serves all blocks."""

    def __init__(self, text: str, like: Func, file: str) -> None:
        self.lines = text.splitlines()
        self.file = file
        self.at = 0
        self.values: dict[str, Value] = {}
        header = print_func(replace(like, body=Block((), (), ()))).splitlines()
        for expected in header:
            if self.at >= len(self.lines) or self.lines[self.at] != expected:
                self.fail(expected, "another line")
            self.at += 1
        shown = re.findall(r"%([\w.]+): ", header[0])
        self.values.update(zip(shown, like.params, strict=True))

    def fail(self, expected: str, got: str) -> NoReturn:
        line = self.lines[self.at] if self.at < len(self.lines) else ""
        raise StageError(
            f"parse_func(): text: expected {expected}, got {got}",
            loc=Loc(self.file, self.at + 1, len(line) - len(line.lstrip()), self.at + 1, len(line)),
            hint="begin with a file that PORTKERNEL_DUMP wrote for the same kernel and arguments",
        )

    def body(self) -> Block:
        block = self.block((), 2)
        if self.at < len(self.lines):
            self.fail("an operation at the indentation of its block", repr(self.lines[self.at].strip()))
        return block

    def block(self, params: tuple[Value, ...], indent: int) -> Block:
        ops: list[Op] = []
        while self.at < len(self.lines) and self.depth() == indent:
            line = self.lines[self.at].strip()
            if line.startswith("yield "):
                yields = tuple(self.value(name.strip().removeprefix("%")) for name in line[6:].split(","))
                self.at += 1
                return Block(params, tuple(ops), yields)
            ops.append(self.op(line, indent))
        return Block(params, tuple(ops), ())

    def depth(self) -> int:
        line = self.lines[self.at]
        return len(line) - len(line.lstrip(" "))

    def op(self, line: str, indent: int) -> Op:
        found = _STATEMENT.fullmatch(line)
        if found is None or found[3] not in _OPS:
            self.fail("an operation", repr(line))
        left, text, kind = found[1], found[2], _OPS[found[3]]
        given: dict[str, object] = self.arguments(text)
        place = self.at
        loc = Loc(self.file, place + 1, indent, place + 1, indent + len(line))
        self.at += 1
        while self.at < len(self.lines) and self.depth() == indent + 2:
            region = _REGION.fullmatch(self.lines[self.at].strip())
            if region is None or region[1] in given:
                self.fail("a region", repr(self.lines[self.at].strip()))
            params = self.definitions(region[2])
            self.at += 1
            given[region[1]] = self.block(params, indent + 4)
        after, self.at = self.at, place  # what is wrong from here on stands on the line of the operation
        known = [name for part in ("operand", "attr", "region") for name in field_names(kind, part)]
        for name in known:
            if name not in given:
                if name not in _OPTIONAL[kind]:
                    self.fail(f"{kind.__name__} with {name}", "one without")
                given[name] = None
        for name in given:
            if name not in known:
                self.fail(f"only {', '.join(known)} in {kind.__name__}", name)
        made = kind(results=self.definitions(left or ""), loc=loc, **given)
        self.at = after
        return made

    def definitions(self, text: str) -> tuple[Value, ...]:
        found: list[Value] = []
        end = 0
        for item in _DEFINITION.finditer(text):
            name, dtype, sides = item.groups()
            if item.start() != end or dtype not in BY_NAME or name in self.values:
                break
            end = item.end()
            hint = name.partition(".")[0]
            shape = tuple(int(side) for side in sides.split(",")) if sides else ()
            found.append(Value(Tile(shape, BY_NAME[dtype]), hint if hint.isidentifier() else ""))
            self.values[name] = found[-1]
        if end != len(text):
            self.fail("new names with their types", repr(text[end:]))
        return tuple(found)

    def value(self, name: str) -> Value:
        if name not in self.values:
            self.fail("a value that is defined above", f"%{name}")
        return self.values[name]

    def arguments(self, text: str) -> dict[str, object]:
        """The keywords of ``Op(name=%value, other=(1, 2))``: Python, once each value has a name that Python takes."""
        names: list[str] = []

        def stand_in(match: re.Match[str]) -> str:
            if match[1]:
                return match[1]
            names.append(match[2])
            return f"{_STAND_IN}{len(names) - 1}"

        try:
            call = ast.parse(_USE.sub(stand_in, text), mode="eval").body
        except SyntaxError:
            self.fail("an operation", repr(text))
        if not isinstance(call, ast.Call) or call.args:
            self.fail("an operation with named fields", repr(text))
        return {keyword.arg or "**": self.evaluate(keyword.value, names) for keyword in call.keywords}

    def evaluate(self, node: ast.expr, names: list[str]) -> object:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name) if name.startswith(_STAND_IN):
                return self.value(names[int(name.removeprefix(_STAND_IN))])
            case ast.Name(id=name) if name in _FLOATS:
                return _FLOATS[name]
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                found = self.evaluate(inner, names)
                return -found if isinstance(found, (int, float)) else self.fail("a number", ast.unparse(inner))
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return tuple(self.evaluate(item, names) for item in items)
            case _:
                return self.fail("a value or a literal", ast.unparse(node))
