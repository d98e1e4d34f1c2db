"""Constant folding and exact identities. Nothing here changes a bit of any result, -0.0 and NaN included."""

from __future__ import annotations

from dataclasses import replace

from ..dtypes import DType, Scalar
from ..ir import (
    Binary,
    Bitcast,
    Block,
    Cast,
    Const,
    Dim,
    For,
    Full,
    Func,
    If,
    Op,
    Select,
    Stride,
    Tile,
    Unary,
    Value,
    rebuild,
)
from ..lang import evaluate
from ..lang.functions import BINARY, UNARY, Array
from .identities import Known, simplify


def fold(func: Func) -> Func:
    """Evaluate what is constant, drop what changes nothing, and take the only possible branch."""
    return replace(func, body=_Folder().block(func.body))


class _Folder:
    """Rewrites blocks in order; operands are always simplified before the operation that uses them."""

    def __init__(self) -> None:
        self._instead: dict[Value, Value] = {}
        self._known = Known()
        self._ops: list[Op] = []

    def _now(self, value: Value) -> Value:
        return self._instead.get(value, value)

    def block(self, block: Block) -> Block:
        outer, self._ops = self._ops, []
        for op in block.ops:
            self._op(op)
        done = Block(block.params, tuple(self._ops), tuple(self._now(v) for v in block.yields))
        self._ops = outer
        return done

    def _op(self, old: Op) -> None:
        op = rebuild(old, self._now, lambda b: b)
        if isinstance(op, If) and (taken := self._known.splat(op.cond)) is not None:
            self._inline(op.then if taken else op.orelse, op)
            return
        if isinstance(op, For) and self._few_trips(op):
            return
        self._append(rebuild(op, lambda v: v, self.block))

    def _append(self, op: Op) -> None:
        if self._constant(op) or self._on_scalars(op):
            return
        found = simplify(op, self._known)
        if isinstance(found, Value):
            self._instead[op.result] = found
        else:
            for made in found:
                self._keep(made)

    def _keep(self, op: Op) -> None:
        self._ops.append(op)
        self._known.define(op)

    # --- control flow ---

    def _inline(self, block: Block, owner: Op) -> None:
        """Run ``block`` once in place of ``owner``; its parameters are mapped already."""
        for op in block.ops:
            self._op(op)
        self._instead.update(zip(owner.results, (self._now(v) for v in block.yields), strict=True))

    def _few_trips(self, op: For) -> bool:
        """Replace a loop that runs never or once."""
        start, stop, step = (self._known.splat(v) for v in (op.start, op.stop, op.step))
        if start is None or stop is None or not step:
            return False
        trips = len(range(int(start), int(stop), int(step)))
        if trips > 1:
            return False
        if trips == 0:
            self._instead.update(zip(op.results, op.inits, strict=True))
            return True
        self._instead.update(zip(op.body.params, (op.start, *op.inits), strict=True))
        self._inline(op.body, op)
        return True

    # --- constants ---

    def _constant(self, op: Op) -> bool:
        """Replace ``op`` by a constant if its value is known."""
        value = self._evaluate(op)
        if value is None:
            return False
        tile = op.result.tile
        if tile.shape == ():
            self._keep(Const(results=op.results, loc=op.loc, value=value))
            return True
        scalar = Const(results=(Value(Tile((), tile.dtype)),), loc=op.loc, value=value)
        self._keep(scalar)
        self._keep(Full(results=op.results, loc=op.loc, value=scalar.result))
        return True

    def _evaluate(self, op: Op) -> Scalar | None:
        match op:
            case Dim(tensor=tensor, axis=axis):
                return tensor.tensor.shape[axis]
            case Stride(tensor=tensor, axis=axis):
                return tensor.tensor.strides[axis]
            case Unary() | Binary() | Cast() | Bitcast():
                splats = [self._known.splat(v) for v in op.operands]
                values = [s for s in splats if s is not None]
                return _apply(op, values) if len(values) == len(splats) else None
            case _:
                return None

    def _on_scalars(self, op: Op) -> bool:
        """An elementwise operation on tiles that hold one value each is done on the scalars."""
        if not isinstance(op, (Unary, Binary, Cast, Bitcast, Select)) or op.result.tile.shape == ():
            return False
        scalars = [self._known.filled(v) for v in op.operands]
        if any(s is None for s in scalars):
            return False
        mapping = dict(zip(op.operands, scalars, strict=True))
        inner = replace(op, results=(Value(Tile((), op.result.tile.dtype)),))
        self._append(rebuild(inner, lambda v: mapping[v] or v, lambda b: b))
        self._keep(Full(results=op.results, loc=op.loc, value=self._now(inner.result)))
        return True


def _apply(op: Unary | Binary | Cast | Bitcast, values: list[Scalar]) -> Scalar | None:
    """The value of ``op`` on constants, by the meaning that the reference executes; None where backends may differ in it."""
    dtype, result = op.operands[0].tile.dtype, op.result.tile.dtype
    xs = [evaluate.constant(v, dtype) for v in values]
    with evaluate.quiet():
        match op:
            case Unary(fn=fn):
                return None if UNARY[fn].ulp else _scalar(evaluate.unary(fn, xs[0], dtype, result), result)
            case Binary(fn=fn):
                return None if BINARY[fn].ulp else _scalar(evaluate.binary(fn, xs[0], xs[1], dtype, result), result)
            case Cast():
                return _scalar(evaluate.convert(xs[0], dtype, result), result)
            case Bitcast():
                bits = _scalar(xs[0].view(result.np), result)
                return None if bits != bits else bits  # a Python float does not keep the payload of a NaN


def _scalar(x: Array, dtype: DType) -> Scalar:
    return evaluate.scalar(x, dtype)
