"""What every pass may rely on: definitions before uses, and each operation's own type rule."""

from __future__ import annotations

from ..dtypes import DType, bool_, int32, int64
from ..errors import InternalError
from . import ops as o
from .core import Block, Func, Op, Value
from .types import Tile


class _Bad(Exception):
    pass


def verify(func: Func) -> None:
    """Raise :class:`~portkernel.errors.InternalError` at the first operation that breaks a rule."""
    _block(func.body, set(func.params), func.name)


def _block(block: Block, known: set[Value], where: str) -> None:
    known = known | set(block.params)
    for op in block.ops:
        _defined(op.operands, known, op, where)
        for inner in op.regions:
            _block(inner, known, where)
        try:
            _check(op)
        except _Bad as e:
            raise InternalError(f"{where}: {type(op).__name__}: {e}", loc=op.loc) from None
        for result in op.results:
            if result in known:
                raise InternalError(f"{where}: {type(op).__name__} defines a value twice", loc=op.loc)
            known.add(result)
    for value in block.yields:
        if value not in known:
            raise InternalError(f"{where}: a block yields an undefined value {value}")


def _defined(values: tuple[Value, ...], known: set[Value], op: Op, where: str) -> None:
    for value in values:
        if value not in known:
            raise InternalError(f"{where}: {type(op).__name__} uses an undefined value {value}", loc=op.loc)


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise _Bad(message)


def _scalar_index(values: tuple[Value, ...], rank: int) -> None:
    _need(len(values) == rank, f"{len(values)} indices for rank {rank}")
    for v in values:
        _need(v.tile.shape == () and v.tile.dtype.is_integer, f"index of type {v.type}")


def _tile_index(op: o.Gather | o.Scatter | o.AtomicRMW | o.AtomicCAS, shape: tuple[int, ...]) -> None:
    _need(len(op.indices) == op.tensor.tensor.rank, f"{len(op.indices)} indices for rank {op.tensor.tensor.rank}")
    for v in op.indices:
        _need(v.tile.shape == shape and v.tile.dtype.is_integer, f"index of type {v.type} for shape {shape}")
    if op.mask is not None:
        _is(op.mask, shape, bool_)


def _is(value: Value, shape: tuple[int, ...], dtype: DType) -> None:
    _need(value.type == Tile(shape, dtype), f"expected {Tile(shape, dtype)}, got {value.type}")


def _same(a: tuple[Value, ...], b: tuple[Value, ...], what: str) -> None:
    _need(
        [v.type for v in a] == [v.type for v in b], f"{what}: {[str(v.type) for v in a]} and {[str(v.type) for v in b]}"
    )


def _check(op: Op) -> None:  # budget: table  # one case for each operation
    match op:
        case o.Const() | o.ProgramId() | o.NumPrograms() | o.Arange() | o.Print():
            pass
        case o.Dim() | o.Stride():
            _is(op.result, (), int64)
            _need(0 <= op.axis < op.tensor.tensor.rank, f"axis {op.axis}")
        case o.Full():
            _is(op.value, (), op.result.tile.dtype)
        case o.Load():
            _scalar_index(op.offsets, op.tensor.tensor.rank)
            _need(op.result.tile.rank == op.tensor.tensor.rank, "rank of the result")
            _need(op.result.tile.dtype == op.tensor.tensor.dtype, "dtype of the result")
            _is(op.pad, (), op.tensor.tensor.dtype)
        case o.Store():
            _scalar_index(op.offsets, op.tensor.tensor.rank)
            _need(op.value.tile.rank == op.tensor.tensor.rank, "rank of the value")
            _need(op.value.tile.dtype == op.tensor.tensor.dtype, "dtype of the value")
        case o.Gather():
            _tile_index(op, op.result.tile.shape)
            _is(op.pad, (), op.tensor.tensor.dtype)
        case o.Scatter():
            _tile_index(op, op.value.tile.shape)
            _need(op.value.tile.dtype == op.tensor.tensor.dtype, "dtype of the value")
        case o.AtomicRMW() | o.AtomicCAS():
            _tile_index(op, op.value.tile.shape)
            _is(op.value, op.result.tile.shape, op.tensor.tensor.dtype)
            _is(op.result, op.value.tile.shape, op.tensor.tensor.dtype)
            if isinstance(op, o.AtomicCAS):
                _is(op.expected, op.value.tile.shape, op.tensor.tensor.dtype)
        case o.Unary() | o.Cast() | o.Bitcast():
            _need(op.x.tile.shape == op.result.tile.shape, "shape of the result")
        case o.Binary():
            _need(op.x.type == op.y.type, f"operands {op.x.type} and {op.y.type}")
            _need(op.x.tile.shape == op.result.tile.shape, "shape of the result")
        case o.Select():
            _is(op.cond, op.result.tile.shape, bool_)
            _same((op.x, op.y), (op.result, op.result), "branches")
        case o.Reshape():
            _need(op.x.tile.size == op.result.tile.size, "size of the result")
            _need(op.x.tile.dtype == op.result.tile.dtype, "dtype of the result")
        case o.Permute():
            _need(sorted(op.axes) == list(range(op.x.tile.rank)), f"axes {op.axes}")
            _need(op.result.tile.shape == tuple(op.x.tile.shape[a] for a in op.axes), "shape of the result")
        case o.BroadcastTo():
            pairs = zip(op.x.tile.shape, op.result.tile.shape, strict=True)
            _need(all(a in (1, b) for a, b in pairs), f"{op.x.type} to {op.result.type}")
        case o.Concat():
            whole = op.result.tile
            _need(sum(x.tile.shape[op.axis] for x in op.xs) == whole.shape[op.axis], "length of the result")
            for x in op.xs:
                side = x.tile.shape[op.axis]
                _is(x, (*whole.shape[: op.axis], side, *whole.shape[op.axis + 1 :]), whole.dtype)
        case o.Extract():
            ends = [off + n for off, n in zip(op.offsets, op.result.tile.shape, strict=True)]
            _need(all(e <= n for e, n in zip(ends, op.x.tile.shape, strict=True)), "sub-tile outside its tile")
        case o.Reduce() | o.Scan():
            _check_fold(op)
        case o.ArgReduce():
            shape = op.x.tile.shape
            _is(op.result, shape[: op.axis] + shape[op.axis + 1 :], int32)
        case o.Dot():
            a, b, acc = op.a.tile, op.b.tile, op.acc.tile
            _need(a.dtype == b.dtype and op.result.type == acc, "types")
            _need(a.shape[-1] == b.shape[-2] and acc.shape == (*a.shape[:-1], b.shape[-1]), "shapes")
        case o.For():
            _same(op.body.params[1:], op.inits, "parameters of the body")
            _same(op.body.yields, op.inits, "yields")
            _same(op.results, op.inits, "results")
            _same((op.start, op.stop, op.step), (op.body.params[0],) * 3, "bounds")
        case o.While():
            for params in (op.cond.params, op.body.params, op.body.yields, op.results):
                _same(params, op.inits, "carried values")
            _is(op.cond.yields[0], (), bool_)
        case o.If():
            _is(op.cond, (), bool_)
            _same(op.then.yields, op.results, "yields of the first branch")
            _same(op.orelse.yields, op.results, "yields of the second branch")
        case o.Assert():
            _need(op.cond.tile.dtype == bool_, "dtype of the condition")
        case _:
            raise _Bad("not an operation of the tile IR")


def _check_fold(op: o.Reduce | o.Scan) -> None:
    shape = op.xs[0].tile.shape
    _need(all(x.tile.shape == shape for x in op.xs), "operands of different shapes")
    _need(len(op.results) == len(op.xs), "number of results")
    kept = shape if isinstance(op, o.Scan) else shape[: op.axis] + shape[op.axis + 1 :]
    for x, result in zip(op.xs, op.results, strict=True):
        _is(result, kept, x.tile.dtype)
    if op.body is None:
        _need(op.fn != "combine" and len(op.xs) == 1, "a named fold takes one operand")
    else:
        scalars = [Tile((), x.tile.dtype) for x in op.xs]
        _need([p.type for p in op.body.params] == scalars * 2, "parameters of the combine function")
        _need([y.type for y in op.body.yields] == scalars, "yields of the combine function")
