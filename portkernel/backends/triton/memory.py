"""Loads, stores, irregular access and atomics: pointers and masks."""

from __future__ import annotations

from ...errors import UnsupportedOpError
from ...ir import AtomicCAS, AtomicRMW, Gather, Load, Scatter, Store, Value
from .elementwise import from_storage, to_storage
from .printer import Printer
from .spell import along, padded_side, range_of, register, storage


def _box(p: Printer, tensor: Value, offsets: tuple[Value, ...], shape: tuple[int, ...]) -> tuple[str, str | None]:
    """Pointers and mask of the box at ``offsets``: in the tensor, and not in the padding of the tile."""
    base = p.use(tensor)
    rank = len(shape)
    pointers, inside = [base], []
    for axis, (offset, side) in enumerate(zip(offsets, shape, strict=True)):
        start = p.const_of(offset)
        lanes = range_of(side)
        if start is not None:
            index = p.temp(f"{base}_i{axis}", f"tl.full((), {start}, tl.int64) + {lanes}")
        else:
            wide = p.use(offset) if offset.tile.dtype.name == "int64" else f"{p.use(offset)}.to(tl.int64)"
            index = p.temp(f"{base}_i{axis}", f"{wide} + {lanes}")
        checks = [f"({index} < {p.size(tensor, axis)})"]
        if offset not in p.nonnegative:
            checks.insert(0, f"({index} >= 0)")
        if padded_side(side) != side:
            checks.append(f"({lanes} < {side})")
        inside.append(
            along(f"({' & '.join(checks)})" if rank > 1 and len(checks) > 1 else " & ".join(checks), axis, rank)
        )
        stride = p.stride(tensor, axis)
        step = along(index, axis, rank)
        pointers.append(step if stride == "1" else f"{step} * {stride}")
    if not rank:
        return base, None
    return p.temp(f"{base}_p", " + ".join(pointers)), p.temp(f"{base}_m", " & ".join(inside))


def load(p: Printer, op: Load) -> None:
    dtype = op.tensor.tensor.dtype
    pointers, mask = _box(p, op.tensor, op.offsets, op.result.tile.shape)
    _load(p, op.result, pointers, mask, to_storage(p, p.use(op.pad), dtype))


def _load(p: Printer, result: Value, pointers: str, mask: str | None, pad: str) -> None:
    text = f"tl.load({pointers})" if mask is None else f"tl.load({pointers}, mask={mask}, other={pad})"
    p.define(result, from_storage(p, text, result.tile.dtype))


def store(p: Printer, op: Store) -> None:
    value = to_storage(p, p.use(op.value), op.value.tile.dtype)
    pointers, mask = _box(p, op.tensor, op.offsets, op.value.tile.shape)
    p.line(f"tl.store({pointers}, {value}{'' if mask is None else f', mask={mask}'})")


def _places(
    p: Printer, tensor: Value, indices: tuple[Value, ...], mask: Value | None, shape: tuple[int, ...]
) -> tuple[str, str | None]:
    """Pointers and mask of irregular access: only elements of the tile, kept by ``mask``, inside the tensor."""
    base = p.use(tensor)
    terms, inside = [base], []
    for axis, index in enumerate(indices):
        text = p.use(index)
        if index.tile.dtype.name != "int64":
            text = f"{text}.to(tl.int64)"
        name = p.temp(f"{base}_i{axis}", text)
        inside.append(f"({name} >= 0) & ({name} < {p.size(tensor, axis)})")
        stride = p.stride(tensor, axis)
        terms.append(name if stride == "1" else f"{name} * {stride}")
    if not indices and shape:
        terms.append(f"tl.full({p.padded_text(shape)}, 0, tl.int64)")
    if mask is not None:
        inside.append(p.use(mask))
    lanes = p.lane_mask(shape) if shape else None
    if lanes:
        inside.append(lanes)
    pointers = p.temp(f"{base}_p", " + ".join(terms))
    return pointers, p.temp(f"{base}_m", " & ".join(inside)) if inside else None


def gather(p: Printer, op: Gather) -> None:
    pointers, mask = _places(p, op.tensor, op.indices, op.mask, op.result.tile.shape)
    _load(p, op.result, pointers, mask, to_storage(p, p.use(op.pad), op.tensor.tensor.dtype))


def scatter(p: Printer, op: Scatter) -> None:
    pointers, mask = _places(p, op.tensor, op.indices, op.mask, op.value.tile.shape)
    value = to_storage(p, p.use(op.value), op.value.tile.dtype)
    p.line(f"tl.store({pointers}, {value}{'' if mask is None else f', mask={mask}'})")


def _always(p: Printer, shape: tuple[int, ...]) -> str:
    return f"tl.full({p.padded_text(shape)}, True, tl.int1)"


def atomic_rmw(p: Printer, op: AtomicRMW) -> None:
    dtype, shape = op.value.tile.dtype, op.value.tile.shape
    if dtype.bits < 32:
        raise UnsupportedOpError(
            f"triton: atomic_{op.fn}(): expected a dtype of 32 or 64 bits, got {dtype}", loc=op.loc
        )
    pointers, mask = _places(p, op.tensor, op.indices, op.mask, shape)
    mask = mask or p.temp("kept", _always(p, shape))
    value = p.use(op.value)
    if dtype.is_float and op.fn in ("max", "min"):
        # Triton's own float maximum orders bit patterns: it does not propagate NaN
        bits = f"tl.int{dtype.bits}"
        kind = "1" if shape else "0"
        call = p.helper(f"_atomic_f{op.fn}_{kind}")
        typed = f"{pointers}.to(tl.pointer_type({bits}), bitcast=True)"
        p.define(
            op.result, f"{call}({typed}, {value}, {mask}, status.to(tl.pointer_type({bits}), bitcast=True), {bits})"
        )
        return
    if dtype.is_float and op.fn == "xchg":  # the interpreter swaps integers only
        bits = f"tl.int{dtype.bits}"
        value = f"({value}).to({bits}, bitcast=True)"
        old = (
            f'tl.atomic_xchg({pointers}.to(tl.pointer_type({bits}), bitcast=True), {value}, mask={mask}, sem="relaxed")'
        )
        zero = f"tl.full({p.padded_text(shape)}, 0, {bits})"
        p.define(op.result, f"tl.where({mask}, {old}, {zero}).to({register(dtype)}, bitcast=True)")
        return
    old = p.temp("old", f'tl.atomic_{op.fn}({pointers}, {value}, mask={mask}, sem="relaxed")')
    p.define(op.result, f"tl.where({mask}, {old}, tl.full({p.padded_text(shape)}, 0, {register(dtype)}))")


def atomic_cas(p: Printer, op: AtomicCAS) -> None:
    """``tl.atomic_cas`` has no mask: an excluded element swaps the status word for itself, which changes nothing."""
    dtype, shape = op.value.tile.dtype, op.value.tile.shape
    pointers, mask = _places(p, op.tensor, op.indices, op.mask, shape)
    mask = mask or p.temp("kept", _always(p, shape))
    spare = f"status.to(tl.pointer_type({storage(dtype)}), bitcast=True)"
    if shape:
        spare = f"{spare} + tl.full({p.padded_text(shape)}, 0, tl.int64)"
    place = p.temp("place", f"tl.where({mask}, {pointers}, {spare})")
    expected = p.temp("expected", p.use(op.expected))
    value = p.temp("desired", f"tl.where({mask}, {p.use(op.value)}, {expected})")
    old = p.temp("old", f'tl.atomic_cas({place}, {expected}, {value}, sem="relaxed")')
    p.define(op.result, f"tl.where({mask}, {old}, tl.full({p.padded_text(shape)}, 0, {register(dtype)}))")
