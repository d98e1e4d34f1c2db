"""What an operator was given: its arrays, checked before its host function sees them.

Arrays of libraries that are not known here come in by DLPack, and their results go back the same way.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentDTypeError, ArgumentTypeError, DeviceMismatchError
from ..runtime.arguments import ArrayRef, look
from ..runtime.checks import check_output, check_pair
from ..runtime.dlpack import adopt, deliver
from .gradients import differentiated

if TYPE_CHECKING:
    from .operator import Operator

KNOWN = frozenset({"numpy", "torch", "cupy", "pyopencl"})
"""Libraries whose arrays the kernel library takes as they are."""
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, slots=True)
class Given:
    """An array argument. ``value`` is what the host function gets, ``original`` what the caller gave."""

    name: str
    value: Any
    original: Any
    ref: ArrayRef | None

    @property
    def is_foreign(self) -> bool:
        return self.value is not self.original


@dataclass(frozen=True, slots=True)
class Arguments:
    """A call's arguments as the host function gets them."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arrays: tuple[Given, ...]

    def results(self, found: Any) -> Any:
        """``found`` as the caller expects it: ``out`` itself, and arrays of the library that the first argument comes from."""
        foreign = [a for a in self.arrays if a.is_foreign]
        if not foreign:
            return found
        if isinstance(found, (tuple, list)):
            return type(found)(self.results(one) for one in found)
        for a in foreign:
            if found is a.value:
                return a.original
        first = self.arrays[0]
        return deliver(found, first.original) if first.is_foreign and hasattr(found, "shape") else found


def gather(op: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """The arguments, foreign arrays made known, once they are found fit for a launch.

    Raises ArgumentDTypeError, ArgumentTypeError, DeviceMismatchError, OverlapError, ReadOnlyError; nothing has been written.
    """
    arrays: list[Given] = []
    names = op.parameters
    placed = tuple(
        _known(op, names[i] if i < len(names) else f"argument {i}", value, arrays) for i, value in enumerate(args)
    )
    named = {name: _known(op, name, value, arrays) for name, value in kwargs.items()}
    outs = named.get("out", placed[names.index("out")] if "out" in names and names.index("out") < len(placed) else None)
    _check(op, arrays, outs if isinstance(outs, (tuple, list)) else () if outs is None else (outs,))
    return Arguments(placed, named, tuple(arrays))


def _known(op: Operator, name: str, value: Any, arrays: list[Given]) -> Any:
    """``value``, or what stands for it; its arrays are added to ``arrays``."""
    if isinstance(value, _PLAIN):
        return value
    if type(value) in (tuple, list):
        made = [_known(op, f"{name}[{i}]", one, arrays) for i, one in enumerate(value)]
        same = all(a is b for a, b in zip(made, value, strict=True))
        return value if same else type(value)(made)
    where = f"{op.name}(): {name}"
    ref = look(value, where)
    if ref is None:
        return value
    if op.accepted is not None and ref.dtype not in op.accepted and name != "out":
        names = ", ".join(d.name for d in op.accepted)
        raise ArgumentDTypeError(f"{where}: expected {names}, got {ref.dtype}", hint="convert the array first")
    _check_gradient(op, where, value)
    library = type(value).__module__.partition(".")[0]
    known = value
    if library not in KNOWN:
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            known = value.as_subclass(torch.Tensor)
        else:
            known = adopt(value, ref)
    arrays.append(Given(name, known, value, ref))
    return known


def _check_gradient(op: Operator, where: str, value: Any) -> None:
    """A tensor whose gradient PyTorch records would lose it here, silently."""
    if getattr(value, "requires_grad", False) and sys.modules["torch"].is_grad_enabled():
        other = "" if op.runs_callers_code else differentiated(op.name)
        first = f"call {other}, which PyTorch differentiates; or pass" if other else "it has no gradient: pass"
        raise ArgumentTypeError(
            f"{where}: expected a tensor without gradient, got one that requires it",
            hint=f"{first} x.detach(), or call it under torch.no_grad()",
        )


def _check(op: Operator, arrays: list[Given], outs: Any) -> None:
    """One device for all arrays; outputs that may be written and share no memory with an input."""
    function = f"{op.name}()"
    for a in arrays[1:]:
        first = arrays[0]
        if a.ref is not None and first.ref is not None and a.ref.device != first.ref.device:
            raise DeviceMismatchError(
                f"{function}: {a.name}: expected an array on {first.ref.device} like {first.name}, got one on {a.ref.device}",
                hint="move all arguments to one device first",
            )
    for a in arrays:
        if a.ref is None or not any(a.value is out for out in outs) or a.name.partition("[")[0] != "out":
            continue
        check_output(a.ref, a.name, op.name)
        for other in arrays:
            if other is a or other.ref is None or (op.row.elementwise and _same(a.ref, other.ref)):
                continue
            check_pair(a.ref, other.ref, a.name, other.name, op.name)


def _same(a: ArrayRef, b: ArrayRef) -> bool:
    """The same elements in the same places."""
    return a.ptr == b.ptr and a.shape == b.shape and a.strides == b.strides and a.dtype is b.dtype


def nbytes(values: Any) -> int:
    """The bytes of the arrays among ``values``."""
    return sum(_sizes(values))


def _sizes(values: Any) -> Iterator[int]:
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _sizes(value)
        elif hasattr(value, "shape") and hasattr(value, "dtype"):
            count = 1
            for n in value.shape:
                count *= int(n)
            yield count * int(value.dtype.itemsize)
