"""ATen's pointwise overloads: which function of tiles each is, and in which dtype it is computed.

One launch for each call. :mod:`.fusion` makes one launch of many, from the same :class:`Bound`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload
from torch._prims_common import (
    ELEMENTWISE_TYPE_PROMOTION_KIND as PROMOTION,
)
from torch._prims_common import (
    compute_elementwise_output_strides,
    elementwise_dtypes,
)

import portkernel as pk
from portkernel.frontend import kernel_from_source

from . import operators, tiles
from .rules import DTYPES, TABLE, Rule, broadcast_shapes, overload

Tile = Callable[..., Any]
DEFAULT, TO_FLOAT, TO_BOOL = PROMOTION.DEFAULT, PROMOTION.INT_TO_FLOAT, PROMOTION.ALWAYS_BOOL

RANK = 5
"""Arrays of more dimensions are taken where their memory is one run."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A call: ``fn`` of ``operands``, tensors (or nodes of a graph) and numbers.

    ``keep`` numbers the operands that take no part in the promotion of dtypes and are not converted: conditions.
    ``dtype`` is the result's where the call names it.
    """

    fn: Tile
    operands: tuple[Any, ...]
    kind: PROMOTION = DEFAULT
    keep: frozenset[int] = frozenset()
    dtype: torch.dtype | None = None
    row_major: bool = False
    """The result is asked for in row-major order; otherwise it lies as PyTorch lays it out."""


Bind = Callable[..., Bound]
BINDS: dict[OpOverload, Bind] = {}
"""How the arguments of an overload become a call; arguments may be tensors, fake tensors or nodes of a graph."""

_FOR_BOOLS: dict[Tile, Tile] = {
    tiles.add: tiles.add_bools,
    tiles.multiply: tiles.multiply_bools,
    tiles.maximum: tiles.add_bools,
    tiles.minimum: tiles.multiply_bools,
    tiles.bitwise_not: tiles.logical_not,
}
_FOR_INTEGERS: dict[Tile, Tile] = {
    tiles.divide_trunc_float: tiles.divide_trunc,
    tiles.isnan: tiles.never,
    tiles.isinf: tiles.never,
    tiles.isfinite: tiles.always,
    **dict.fromkeys((tiles.floor, tiles.ceil, tiles.trunc, tiles.round), tiles.identity),
}


def tile_dtype(dtype: torch.dtype) -> pk.DType:
    """Our name for ``dtype``."""
    return pk.dtypes.as_dtype(str(dtype).removeprefix("torch."))


def loaded(dtype: torch.dtype) -> torch.dtype:
    """The dtype that a tile of such elements has once it is loaded."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def promoted(bound: Bound, operands: tuple[Any, ...]) -> tuple[torch.dtype, torch.dtype]:
    """The dtype that ``bound`` is computed in, and that of its result; ``operands`` are real or fake tensors and numbers."""
    if bound.dtype is not None:
        return loaded(bound.dtype), bound.dtype
    taking_part = [x for i, x in enumerate(operands) if i not in bound.keep]
    computed, result = elementwise_dtypes(*taking_part, type_promotion_kind=bound.kind)
    return loaded(computed), result


def specialised(fn: Tile, computed: torch.dtype) -> Tile:
    """The function to take for tiles of ``computed``."""
    if computed is torch.bool:
        return _FOR_BOOLS.get(fn, _FOR_INTEGERS.get(fn, fn))
    return _FOR_INTEGERS.get(fn, fn) if not computed.is_floating_point else fn


# --- one call -----------------------------------------------------------------------------------------------

_made: dict[object, tuple[Tile, torch.dtype]] = {}


def single(bound: Bound) -> tuple[Tile, torch.dtype]:
    """A function of tiles for one call, conversions included, and the dtype of its result."""
    signature = tuple((x.dtype, x.ndim == 0) if isinstance(x, torch.Tensor) else type(x) for x in bound.operands)
    key = (bound.fn, bound.kind, bound.keep, bound.dtype, signature)
    found = _made.get(key)
    if found is None:
        computed, result = promoted(bound, bound.operands)
        names = [f"x{i}" for i in range(len(signature))]
        values = [
            name if i in bound.keep or (isinstance(x, torch.Tensor) and loaded(x.dtype) == computed)
            else f"pk.astype({name}, COMPUTED)"
            for i, (name, x) in enumerate(zip(names, bound.operands, strict=True))
        ]  # fmt: skip
        fn = specialised(bound.fn, computed)
        text = f"def {fn.__name__}({', '.join(names)}):\n    return FN({', '.join(values)})\n"
        made = kernel_from_source(text, fn.__name__, {"FN": fn, "COMPUTED": tile_dtype(computed)})
        found = _made[key] = made, result
    return found


def output_strides(tensors: list[torch.Tensor], shape: torch.Size) -> tuple[int, ...] | None:
    """The strides that PyTorch gives to the result, or None where it is row-major."""
    if all(t.is_contiguous() for t in tensors if t.shape == shape):
        return None
    return tuple(compute_elementwise_output_strides(*(t.expand(shape) for t in tensors)))


def launch(bound: Bound, out: torch.Tensor | None = None) -> torch.Tensor:
    """The result of a call, in PyTorch's dtype and strides."""
    fn, result = single(bound)
    tensors = [x for x in bound.operands if isinstance(x, torch.Tensor)]
    if out is None:
        shape = broadcast_shapes(*(t.shape for t in tensors))
        strides = None if bound.row_major else output_strides(tensors, shape)
        out = new(tensors[0], shape, result, strides)
    operators.call("elementwise", fn, *bound.operands, out=out, dtype=tile_dtype(out.dtype))
    return out


def new(
    like: torch.Tensor, shape: torch.Size | tuple[int, ...], dtype: torch.dtype, strides: tuple[int, ...] | None = None
) -> torch.Tensor:
    """A new tensor, row-major or with the strides of a permutation of that; where launches are recorded, it is reported."""
    if strides is None:
        return pk.note_allocation(like.new_empty(shape, dtype=dtype))  # type: ignore[no-any-return]
    flat: torch.Tensor = pk.note_allocation(like.new_empty((math.prod(shape),), dtype=dtype))
    return flat.as_strided(shape, strides)


def refuse_bound(bound: Bound, operands: tuple[Any, ...]) -> str:
    """Why a call is not covered, or nothing; ``operands`` are real or fake tensors and numbers."""
    tensors = [x for x in operands if isinstance(x, torch.Tensor)]
    if not tensors:
        return "no tensor among the arguments"
    for x in operands:
        if not isinstance(x, (torch.Tensor, bool, int, float)):
            return f"an argument of type {type(x).__name__}"
    if len({t.device for t in tensors}) > 1:
        return "tensors on several devices"
    if any(t.ndim > RANK and not t.is_contiguous() for t in tensors):
        return f"more than {RANK} dimensions, not in one run of memory"
    if max(t.ndim for t in tensors) > RANK and any(t.shape != tensors[0].shape for t in tensors):
        return f"more than {RANK} dimensions that broadcast"
    computed, result = promoted(bound, operands)
    if result not in DTYPES or computed not in DTYPES:
        return f"dtype {str(result).removeprefix('torch.')} of the result"
    return ""


def rule_of(op: OpOverload, bind: Bind) -> Rule:
    """The rule that binds and launches."""

    def run(*args: Any, out: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        return launch(bind(*args, **kwargs), out)

    def refuse(*args: Any, **kwargs: Any) -> str:
        try:
            bound = bind(*args, **kwargs)
        except Unbound as e:
            return str(e)
        return refuse_bound(bound, bound.operands)

    return Rule(op, "elementwise", run, refuse, takes_out=True)


class Unbound(Exception):
    """An option of a call that no function of tiles stands for; the message is the reason."""


def binds(*names: str) -> Callable[[Bind], Bind]:
    """The decorated function binds the arguments of the overloads ``names``."""

    def register(bind: Bind) -> Bind:
        for name in names:
            op = overload(name)
            if op is not None:
                BINDS[op] = bind
                TABLE[op] = rule_of(op, bind)
        return bind

    return register


# --- the table ----------------------------------------------------------------------------------------------


def _plain(fn: Tile, kind: PROMOTION = DEFAULT) -> Bind:
    return lambda *operands: Bound(fn, operands, kind)


_SAME = (
    "neg:negative sign abs:absolute floor ceil trunc frac relu bitwise_not maximum minimum "
    "bitwise_and.Tensor bitwise_and.Scalar bitwise_or.Tensor bitwise_or.Scalar bitwise_xor.Tensor bitwise_xor.Scalar "
    "__lshift__.Scalar:left_shift __rshift__.Scalar:right_shift bitwise_left_shift.Tensor:left_shift "
    "bitwise_right_shift.Tensor:right_shift bitwise_left_shift.Tensor_Scalar:left_shift "
    "bitwise_right_shift.Tensor_Scalar:right_shift remainder.Tensor remainder.Scalar fmod.Tensor fmod.Scalar "
    "mul.Tensor:multiply mul.Scalar:multiply threshold threshold_backward "
    "sigmoid_backward tanh_backward silu_backward softplus_backward hardtanh_backward hardtanh hardswish silu mish "
    "square floor_divide floor_divide.Scalar "
    "prims::abs:absolute prims::neg:negative prims::mul:multiply prims::add:add prims::sub:subtract prims::round:round "
    "prims::sign:sign prims::bitwise_and:bitwise_and prims::bitwise_or:bitwise_or prims::bitwise_xor:bitwise_xor "
    "lerp.Tensor:lerp lerp.Scalar:lerp pow.Scalar:power pow.Tensor_Tensor:power"
)
_FLOATING = (
    "sqrt rsqrt reciprocal exp exp2 expm1 log log2 log10 log1p sin cos tan asin:arcsin acos:arccos atan:arctan "
    "atan2:arctan2 sinh cosh tanh asinh:arcsinh acosh:arccosh atanh:arctanh erf sigmoid div.Tensor:divide "
    "div.Scalar:divide hardsigmoid true_divide.Tensor:divide"
)
_BOOLEAN = (
    "eq.Tensor:equal eq.Scalar:equal ne.Tensor:not_equal ne.Scalar:not_equal lt.Tensor:less lt.Scalar:less "
    "le.Tensor:less_equal le.Scalar:less_equal gt.Tensor:greater gt.Scalar:greater ge.Tensor:greater_equal "
    "ge.Scalar:greater_equal logical_and logical_or logical_xor logical_not isnan isinf isfinite"
)


def _register() -> None:
    for words, kind in ((_SAME, DEFAULT), (_FLOATING, TO_FLOAT), (_BOOLEAN, TO_BOOL)):
        for word in words.split():
            space, _, rest = word.rpartition("::")
            name, _, tile = rest.partition(":")
            binds(f"{space}::{name}" if space else name)(_plain(getattr(tiles, tile or name.partition(".")[0]), kind))


_register()


@binds("add.Tensor", "add.Scalar")
def _add(x: Any, y: Any, alpha: Any = 1) -> Bound:
    return Bound(tiles.add, (x, y)) if alpha == 1 else Bound(tiles.add_scaled, (x, y, alpha))


@binds("sub.Tensor", "sub.Scalar")
def _sub(x: Any, y: Any, alpha: Any = 1) -> Bound:
    return Bound(tiles.subtract, (x, y)) if alpha == 1 else Bound(tiles.subtract_scaled, (x, y, alpha))


@binds("rsub.Tensor", "rsub.Scalar")
def _rsub(x: Any, y: Any, alpha: Any = 1) -> Bound:
    return Bound(tiles.reverse_subtract, (x, y)) if alpha == 1 else Bound(tiles.reverse_subtract_scaled, (x, y, alpha))


@binds("div.Tensor_mode", "div.Scalar_mode")
def _div(x: Any, y: Any, *, rounding_mode: str | None = None) -> Bound:
    match rounding_mode:
        case None:
            return Bound(tiles.divide, (x, y), TO_FLOAT)
        case "floor":
            return Bound(tiles.floor_divide, (x, y))
        case "trunc":
            return Bound(tiles.divide_trunc_float, (x, y))
        case _:
            raise Unbound(f"rounding_mode {rounding_mode!r}")


@binds("round", "round.decimals")
def _round(x: Any, *, decimals: int = 0) -> Bound:
    if decimals:
        raise Unbound("round with decimals")
    return Bound(tiles.round, (x,))


@binds("pow.Tensor_Scalar")
def _pow(x: Any, exponent: Any) -> Bound:
    special = {2: tiles.square, 3: tiles.cube, 1: tiles.identity}.get(exponent)
    if special is not None and (isinstance(exponent, int) or _is_float(x)):
        return Bound(special, (x,))
    if exponent in (0.5, -0.5) and _is_float(x):
        return Bound(tiles.sqrt if exponent > 0 else tiles.rsqrt, (x,))
    return Bound(tiles.power, (x, exponent))


def _is_float(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.dtype.is_floating_point


@binds("clamp", "clamp.Tensor")
def _clamp(x: Any, low: Any = None, high: Any = None) -> Bound:
    if low is None and high is None:
        raise Unbound("clamp without a limit")
    if low is None:
        return Bound(tiles.minimum, (x, high))
    return Bound(tiles.maximum, (x, low)) if high is None else Bound(tiles.clamp, (x, low, high))


@binds("clamp_min", "clamp_min.Tensor")
def _clamp_min(x: Any, low: Any) -> Bound:
    return Bound(tiles.maximum, (x, low))


@binds("clamp_max", "clamp_max.Tensor")
def _clamp_max(x: Any, high: Any) -> Bound:
    return Bound(tiles.minimum, (x, high))


@binds("where.self", "prims::where", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
def _where(condition: Any, x: Any, y: Any) -> Bound:
    return Bound(tiles.where, (condition, x, y), keep=frozenset({0}))


@binds("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(x: Any, mask: Any, value: Any) -> Bound:
    dtype = x.dtype if isinstance(x, torch.Tensor) else x.meta["val"].dtype
    return Bound(tiles.masked_fill, (x, mask, value), keep=frozenset({1}), dtype=dtype)


@binds("addcmul")
def _addcmul(x: Any, a: Any, b: Any, *, value: Any = 1) -> Bound:
    return Bound(tiles.addcmul, (x, a, b, value))


@binds("addcdiv")
def _addcdiv(x: Any, a: Any, b: Any, *, value: Any = 1) -> Bound:
    return Bound(tiles.addcdiv, (x, a, b, value), TO_FLOAT)


@binds("gelu")
def _gelu(x: Any, *, approximate: str = "none") -> Bound:
    return Bound(tiles.gelu_tanh if approximate == "tanh" else tiles.gelu, (x,))


@binds("gelu_backward")
def _gelu_backward(grad: Any, x: Any, *, approximate: str = "none") -> Bound:
    return Bound(tiles.gelu_tanh_backward if approximate == "tanh" else tiles.gelu_backward, (grad, x))


@binds("softplus")
def _softplus(x: Any, beta: Any = 1, threshold: Any = 20) -> Bound:
    return Bound(tiles.softplus, (x, beta, threshold))


@binds("leaky_relu")
def _leaky_relu(x: Any, slope: Any = 0.01) -> Bound:
    return Bound(tiles.leaky_relu, (x, slope))


@binds("leaky_relu_backward")
def _leaky_relu_backward(grad: Any, x: Any, slope: Any, self_is_result: bool) -> Bound:
    return Bound(tiles.leaky_relu_backward, (grad, x, slope))


@binds("elu")
def _elu(x: Any, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Bound:
    return Bound(tiles.elu, (x, alpha, scale, input_scale))


@binds("hardtanh")
def _hardtanh(x: Any, low: Any = -1, high: Any = 1) -> Bound:
    if not _is_float(x) and isinstance(x, torch.Tensor):
        raise Unbound("dtype of integers")
    return Bound(tiles.hardtanh, (x, low, high))


# --- copies and conversions ---------------------------------------------------------------------------------


@binds("clone", "prims::clone")
def _clone(x: Any, *, memory_format: Any = None) -> Bound:
    if memory_format not in (None, torch.preserve_format, torch.contiguous_format):
        raise Unbound(f"memory format {memory_format}")
    return Bound(tiles.identity, (x,), row_major=memory_format is torch.contiguous_format)


@binds("_to_copy")
def _to_copy(
    x: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None,
    non_blocking: bool = False, memory_format: Any = None,
) -> Bound:  # fmt: skip
    own = x if isinstance(x, torch.Tensor) else x.meta["val"]
    if device is not None and torch.device(device).type != own.device.type:
        raise Unbound(f"a copy from {own.device.type} to {torch.device(device).type}")
    if layout not in (None, torch.strided) or pin_memory:
        raise Unbound("a layout or pinned memory")
    if memory_format not in (None, torch.preserve_format, torch.contiguous_format):
        raise Unbound(f"memory format {memory_format}")
    return Bound(tiles.identity, (x,), dtype=dtype or own.dtype, row_major=memory_format is torch.contiguous_format)


@binds("prims::convert_element_type")
def _convert(x: Any, dtype: torch.dtype) -> Bound:
    return Bound(tiles.identity, (x,), dtype=dtype)


@binds("copy")
def _copy(x: Any, source: Any, non_blocking: bool = False) -> Bound:
    own = x if isinstance(x, torch.Tensor) else x.meta["val"]
    return Bound(tiles.replace, (x, source), dtype=own.dtype)


@binds("fill.Scalar", "fill.Tensor")
def _fill(x: Any, value: Any) -> Bound:
    own = x if isinstance(x, torch.Tensor) else x.meta["val"]
    return Bound(tiles.fill, (x, value), dtype=own.dtype)


@binds("zero")
def _zero(x: Any) -> Bound:
    own = x if isinstance(x, torch.Tensor) else x.meta["val"]
    return Bound(tiles.fill, (x, 0), dtype=own.dtype)
