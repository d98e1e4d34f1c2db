"""SIMT IR to the text of a kernel: values, control flow, and the shell around them. The handlers stand in ``handlers``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TypeVar, cast

from ...dtypes import DType, Scalar
from ...errors import InternalError, UnsupportedDTypeError
from ...ir import ops as o
from ...ir import simt as s
from ...ir.core import Block, Effect, Op, Value, walk
from ...ir.types import Pointer, Tensor, Tile
from ...loc import UNKNOWN, Loc
from ...targets import Target
from ..base import Param, Source
from .dialect import Dialect
from .expr import Expr, call
from .names import Names, identifier
from .prelude import Prelude
from .spell import SMALL
from .writer import Writer

OpT = TypeVar("OpT", bound=Op)
Handler = Callable[["Emitter", Op], Expr | None]
HANDLERS: dict[type[Op], Handler] = {}
"""What the family can print. A pure operation gives its value's expression; the others write lines and give None."""

_INLINE = 96
_WORD = re.compile(r"[A-Za-z_]\w*")


def handles(op: type[OpT]) -> Callable[[Callable[[Emitter, OpT], Expr | None]], Callable[[Emitter, OpT], Expr | None]]:
    """Register the handler of an operation."""

    def register(fn: Callable[[Emitter, OpT], Expr | None]) -> Callable[[Emitter, OpT], Expr | None]:
        HANDLERS[op] = cast(Handler, fn)
        return fn

    return register


class Emitter:
    """One kernel in one dialect."""

    def __init__(self, func: s.SimtFunc, dialect: Dialect, target: Target) -> None:
        self.func, self.dialect, self.target = func, dialect, target
        self.out = Writer()
        self.names = Names()
        self.prelude = Prelude(dialect)
        self.asserts: list[tuple[str, Loc]] = []
        self.offsets, self.local_bytes, self.group_bytes = _local_memory(func.body, dialect)
        self.constants: dict[Value, Scalar] = {}
        self.params: dict[Value, str] = {}
        self._exprs: dict[Value, Expr] = {}
        self._uses, self._home = _count_uses(func.body)

    # --- values --------------------------------------------------------------------------------------------------

    def raw(self, value: Value) -> Expr:
        """The expression of ``value``, which may still be of the unsigned type (see :class:`Expr`)."""
        found = self._exprs.get(value)
        if found is None:
            raise InternalError(f"{self.func.name}: a value of type {value.type} is used before its definition")
        return found

    def use(self, value: Value) -> Expr:
        """The expression of ``value`` in its own register type."""
        found = self.raw(value)
        return self.dialect.signed(found, value.vec) if found.wrap else found

    def bind(self, value: Value, expr: Expr) -> None:
        self._exprs[value] = expr

    def temporary(self, value: Value, expr: Expr) -> None:
        """Give ``value`` a variable of its own."""
        name = self.names.fresh(value.hint)
        text = (self.dialect.signed(expr, value.vec) if expr.wrap else expr).text
        self.out.line(f"const {self.dialect.register_type(value.vec)} {name} = {text};")
        self.bind(value, Expr(name))

    def variable(self, value: Value, init: Expr | None = None) -> str:
        """Declare a variable that ``value`` names and that will be assigned again."""
        name = self.names.fresh(value.hint)
        start = f" = {init.text}" if init is not None else ""
        self.out.line(f"{self.dialect.register_type(value.vec)} {name}{start};")
        return name

    def atom(self, value: Value) -> Expr:
        """As :meth:`use`, but with a variable behind it unless it is a name or a number: for what is evaluated often.

        The variable is good for the block at hand, so it does not become the value's own.
        """
        expr = self.use(value)
        if re.fullmatch(r"-?[\w.]+", expr.text):
            return expr
        name = self.names.fresh(value.hint)
        self.out.line(f"const {self.dialect.register_type(value.vec)} {name} = {expr.text};")
        return Expr(name)

    def request(self, piece: str, dtype: DType | None, lanes: int, *args: Expr) -> Expr:
        """A call of a function of the prelude."""
        return call(self.prelude.use(piece, dtype, lanes), *args)

    def rounded(self, x: Expr, type: s.Vec) -> Expr:
        """A float register rounded to the small float ``type``; other types as they are."""
        small = SMALL.get(type.dtype.name)
        if small is None:
            return x
        made = self.request(f"round_{small}", None, type.lanes, x)
        return replace(made, unrounded=x)

    def is_used(self, value: Value) -> bool:
        return self._uses.get(value, 0) > 0

    # --- blocks --------------------------------------------------------------------------------------------------

    def block(self, block: Block) -> None:
        for op in block.ops:
            self._op(op, block)

    def _op(self, op: Op, home: Block) -> None:
        handler = HANDLERS.get(type(op))
        if handler is None:
            raise InternalError(f"{self.dialect.name}: no handler for {type(op).__name__}", loc=op.loc)
        if op.effect is not Effect.WRITE and all(not self._uses.get(r) for r in op.results):
            return
        self.out.loc = op.loc
        expr = handler(self, op)
        if expr is None:
            return
        value = op.result
        if self._inlines(op, value, expr, home):
            self.bind(value, expr)
        else:
            self.temporary(value, expr)

    def _inlines(self, op: Op, value: Value, expr: Expr, home: Block) -> bool:
        if isinstance(value.type, Pointer) or _WORD.fullmatch(expr.text):
            return True
        if isinstance(op, (o.Const, o.Dim, o.Stride)) and value.vec.lanes == 1:
            return True
        if op.effect is not Effect.PURE or len(expr.text) > _INLINE:
            return False
        return not value.hint and self._uses[value] == 1 and self._home[value] is home

    def assign(self, targets: Sequence[str], values: Sequence[Value]) -> None:
        """``targets = values``, all at once: a variable that another value still needs is read first."""
        pairs = ((t, self.use(v).text, v) for t, v in zip(targets, values, strict=True))
        pending = [(t, text, v, frozenset(_WORD.findall(text))) for t, text, v in pairs if t != text]
        while pending:
            for i, (target, text, _, _) in enumerate(pending):
                if not any(target in reads for j, (*_, reads) in enumerate(pending) if j != i):
                    self.out.line(f"{target} = {text};")
                    del pending[i]
                    break
            else:  # a cycle: save a variable that others wait for
                target, _, value, _ = pending[0]
                saved = self.names.fresh("", "old")
                self.out.line(f"const {self.dialect.register_type(value.vec)} {saved} = {target};")
                word = re.compile(rf"\b{target}\b")
                pending[1:] = [(t, word.sub(saved, text), v, reads - {target}) for t, text, v, reads in pending[1:]]

    # --- the kernel ----------------------------------------------------------------------------------------------

    def emit(self, params: tuple[Param, ...]) -> Source:
        d = self.dialect
        self._check_dtypes()
        entry = identifier(self.func.name) or "kernel_"
        self.names.fresh("status")
        signature = self._signature(params)
        if self.offsets:
            self.out.line(d.dynamic_local)
        self.block(self.func.body)
        shell = d.kernel.format(threads=self.func.threads)
        prelude = self.prelude.text(self.out.text)
        head = d.header + d.enable(self._dtypes(), prelude + self.out.text) + prelude
        opening = f"{shell} {entry}(\n    " + ",\n    ".join(signature) + "\n) {\n"
        start = head + ("\n" if head else "") + opening
        return Source(
            text=start + self.out.text + "}\n",
            entry=entry,
            backend=d.name,
            target=self.target,
            params=params,
            threads=self.func.threads,
            local_bytes=self.local_bytes,
            lines=self.out.locations(start.count("\n")),
            asserts=tuple(self.asserts),
            emulated=frozenset(x.name for x in self._dtypes() if x.name in SMALL),
            options=d.options(self.target),
            suffix=d.suffix,
            group_bytes=self.group_bytes,
            private_bytes=_private_memory(self.func.body),
        )

    def _check_dtypes(self) -> None:
        """Raise where the target lacks a dtype that cannot be emulated."""
        params = ((p, UNKNOWN) for p in self.func.params)
        values = chain(params, ((r, op.loc) for op in walk(self.func.body) for r in op.results))
        for value, loc in values:
            if isinstance(value.type, Tile) and value.type.shape:
                continue
            dtype = value.type.dtype
            known = dtype.name in self.target.native or dtype.name in SMALL
            if dtype.name in self.target.absent or not known:
                raise UnsupportedDTypeError(
                    f"{self.func.name}(): {self.target.name} has no {dtype}",
                    loc=loc,
                    hint="cast to another dtype with astype()",
                )

    def _dtypes(self) -> set[DType]:
        found: set[DType] = set()
        values = [*self.func.params, *(r for op in walk(self.func.body) for r in op.results)]
        for value in values:
            if not isinstance(value.type, Tile) or not value.type.shape:
                found.add(value.type.dtype)
        return found

    def _signature(self, params: tuple[Param, ...]) -> list[str]:
        """The declarations, in the order of :class:`~portkernel.backends.base.Param`; binds the parameters."""
        d = self.dialect
        written = _written(self.func.body)
        long = d.types["int64"]
        found: list[str] = []
        for value, param in zip(self.func.params, params, strict=True):
            name = self.params[value] = self.names.fresh(param.name, "arg")
            if isinstance(value.type, Tensor):
                pointer = d.pointer_type(Pointer(value.type.dtype, "global"))
                space = d.spaces["global"]
                const = "" if value in written else "const "
                found.append(f"{space}{const}{pointer.removeprefix(space)} {d.restrict} {name}")
                if d.pointer_offsets:
                    offset = self.names.fresh(f"{name}_offset")
                    found.append(f"{long} {offset}")
                    self.out.line(f"{name} += {offset};")
                found += [f"{long} {name}_size{i}" for i, n in enumerate(value.type.shape) if n is None]
                found += [f"{long} {name}_stride{i}" for i, n in enumerate(value.type.strides) if n is None]
                for i in range(value.type.rank):
                    self.names.fresh(f"{name}_size{i}")
                    self.names.fresh(f"{name}_stride{i}")
            elif value.vec.dtype.is_bool:
                found.append(f"{d.types['int32']} {name}")
                self.bind(value, Expr(f"({name} != 0)"))
            else:
                found.append(f"{d.scalar_type(value.vec.dtype)} {name}")
                self.bind(value, Expr(name))
        found.append(f"{d.spaces['global']}{d.types['int32']}* {d.restrict} status")
        return found


def _count_uses(body: Block) -> tuple[dict[Value, int], dict[Value, Block]]:
    """How often each value is used, and the block of its last use."""
    uses: dict[Value, int] = {}
    home: dict[Value, Block] = {}

    def visit(block: Block) -> None:
        for op in block.ops:
            for value in op.operands:
                uses[value] = uses.get(value, 0) + 1
                home[value] = block
            for inner in op.regions:
                visit(inner)
        for value in block.yields:
            uses[value] = uses.get(value, 0) + 1
            home[value] = block

    visit(body)
    return uses, home


def _written(body: Block) -> frozenset[Value]:
    """The tensors that the kernel writes."""
    bases = {op.result: op.tensor for op in walk(body) if isinstance(op, s.Base)}
    writes = (op for op in walk(body) if isinstance(op, (s.WriteElem, s.AtomicElem, s.AtomicCasElem)))
    return frozenset(bases[op.pointer] for op in writes if op.pointer in bases)


def _local_memory(body: Block, dialect: Dialect) -> tuple[dict[Value, int], int, int]:
    """Offsets in the local memory that the launch asks for, and its size; nothing where declarations have room. Last, all
    that a group takes, one way or the other."""
    offsets: dict[Value, int] = {}
    total = 0
    for op in walk(body):
        if isinstance(op, s.Alloc) and op.result.pointer.space == "local":
            offsets[op.result] = total
            total += -(-op.size * op.result.pointer.dtype.itemsize // 128) * 128
    if dialect.static_local is None or total <= dialect.static_local:
        return {}, 0, total
    return offsets, total, total


def _private_memory(body: Block) -> int:
    """The size of a thread's arrays, at least four bytes an element: some dialects compute in float32 where it is narrower."""
    allocs = (op for op in walk(body) if isinstance(op, s.Alloc))
    return sum(a.size * max(4, a.result.pointer.dtype.itemsize) for a in allocs if a.result.pointer.space == "private")


def emit_text(func: s.SimtFunc, dialect: Dialect, target: Target, params: tuple[Param, ...]) -> Source:
    """The text of ``func`` in ``dialect``: byte-identical for equal functions."""
    from . import handlers  # registers the handlers; they import this module

    assert handlers.__name__
    return Emitter(func, dialect, target).emit(params)


__all__ = ["HANDLERS", "Emitter", "emit_text", "handles"]
