"""Any PyTorch program on our operators, eagerly: every ATen call inside a ``with`` block is mapped, or said to be not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from portkernel import config
from portkernel.errors import FallbackError
from portkernel.runtime.statistics import COUNTERS

from . import tiles
from .aten import why_not
from .pointwise import BINDS, Bound, promoted
from .pointwise import launch as pointwise
from .rules import TABLE, Rule, broadcast_shapes, kind_of, refuse_tensor

_functional: dict[OpOverload, OpOverload | None] = {}


class Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Calls that our operators cover run on them, below autograd; the others run in PyTorch and are counted."""

    def __init__(self, strict: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.strict = strict

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch.no_grad():  # autograd is above: what comes here is its forward or backward call
            return _dispatch(self, func, args, kwargs or {})


@contextmanager
def dispatch(strict: bool = False) -> Iterator[None]:
    """Map the ATen calls of this thread to our operators inside the ``with`` block, training included.

    A call that no operator covers is decomposed where PyTorch knows how, otherwise it runs in PyTorch and is counted in
    ``pk.stats().fallbacks``. With ``strict`` (or under ``pk.use(strict=True)``) it raises FallbackError instead, which
    names the overload and the reason. Views, and new tensors filled with known numbers, are PyTorch's.

    >>> import torch, portkernel as pk
    >>> with pk.use(backend="numpy"), dispatch(strict=True):
    ...     (torch.ones(2, 3) @ torch.ones(3, 2)).sum().item()
    12.0
    """
    with Dispatch(strict or config.get().strict):
        yield


def _dispatch(mode: Dispatch, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not isinstance(func, OpOverload) or kind_of(func) != "compute":
        return func(*args, **kwargs)
    rule = TABLE.get(func)
    if rule is not None:
        reason = why_not(func, args, kwargs)
        if not reason:
            return rule.run(*args, **kwargs)
    else:
        found = _in_place(func, args, kwargs)
        if found is not None:
            return found
        reason = why_not(func, args, kwargs)
    decomposed = _decomposed(mode, func, args, kwargs)
    if decomposed is not NotImplemented:
        return decomposed
    name = str(func)
    message = f"{name} runs in PyTorch: {reason}"
    if mode.strict:
        raise FallbackError(f"{name}(): expected a call that an operator covers, got {reason}",
                            hint="leave strict off, and it runs in PyTorch and is counted in pk.stats().fallbacks")  # fmt: skip
    COUNTERS.fallback(message)
    return func(*args, **kwargs)


_depth = threading.local()


def _decomposed(mode: Dispatch, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call in terms of others, under the mode; NotImplemented where PyTorch knows no such terms."""
    if func._schema.is_mutable or func in getattr(_depth, "active", ()):
        return NotImplemented
    found = decomposition_table.get(func)
    active = getattr(_depth, "active", ())
    _depth.active = (*active, func)
    try:
        with mode:
            return found(*args, **kwargs) if found is not None else func.decompose(*args, **kwargs)
    except RuntimeError:  # some decompositions take fewer shapes than the call itself, which says what is wrong
        return NotImplemented
    finally:
        _depth.active = active


# --- calls that write to an argument ------------------------------------------------------------------------


def functional_of(func: OpOverload) -> OpOverload | None:
    """The overload that computes what ``func`` writes to its one mutable argument: ``add`` for ``add_`` or ``add.out``."""
    if func not in _functional:
        _functional[func] = _find_functional(func)
    return _functional[func]


def _find_functional(func: OpOverload) -> OpOverload | None:
    schema = func._schema
    written = [a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    if len(written) != 1 or len(schema.returns) != 1:
        return None
    namespace, _, name = schema.name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_") if written == ["self"] else name, None)
    wanted = [a.name for a in schema.arguments if a.name != "out"]
    for kind in packet.overloads() if packet is not None else ():
        found: OpOverload = getattr(packet, kind)
        if found in TABLE and [a.name for a in found._schema.arguments] == wanted:
            types = [str(a.type) for a in schema.arguments if a.name != "out"]
            if [str(a.type) for a in found._schema.arguments] == types:
                return found
    return None


def _in_place(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The tensor that was written to, or None where the call is not covered."""
    if not func._schema.is_mutable:
        return None
    plain = functional_of(func)
    if plain is None or why_not(plain, args, {k: v for k, v in kwargs.items() if k != "out"}):
        return None
    target: torch.Tensor = kwargs.pop("out") if "out" in kwargs else args[0]
    if refuse_tensor(target):
        return None
    write(TABLE[plain], target, args, kwargs)
    return target


def write(rule: Rule, target: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Compute into ``target``, which may be among the arguments."""
    bind = BINDS.get(rule.overload)
    if bind is not None:
        bound = bind(*args, **kwargs)
        shapes = [x.shape for x in bound.operands if isinstance(x, torch.Tensor)]
        same = promoted(bound, bound.operands)[1] == target.dtype
        if broadcast_shapes(*shapes) == target.shape and same and _apart(bound, target):
            pointwise(bound, target)
            return
    result = rule.run(*args, **kwargs)
    if target.shape != result.shape:
        target.resize_(result.shape)
    pointwise(Bound(tiles.replace, (target, result), dtype=target.dtype), target)


def _apart(bound: Bound, target: torch.Tensor) -> bool:
    """Whether every operand is ``target`` itself, element for element, or shares no memory with it."""
    memory = target.untyped_storage().data_ptr()
    for x in bound.operands:
        if not isinstance(x, torch.Tensor) or x.untyped_storage().data_ptr() != memory:
            continue
        same = x.data_ptr() == target.data_ptr() and x.shape == target.shape and x.stride() == target.stride()
        if not same:
            return False
    return True


__all__ = ["Dispatch", "dispatch", "functional_of", "write"]
