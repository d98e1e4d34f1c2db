"""One call of an operator, completely: what is checked before it, where it may fall back to, what is counted after it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from .. import config
from ..errors import (
    ArgumentDTypeError,
    ArgumentError,
    ArgumentTypeError,
    DeviceAssertionError,
    DTypeError,
    FallbackError,
    LaunchError,
    NoDeviceError,
    PortkernelError,
    ResourceError,
    TargetError,
    UnsupportedDTypeError,
    UnsupportedOpError,
)
from ..runtime.observation import OBSERVED, Run, probing
from ..runtime.route import REFERENCE, check_backend, reference_reaches, route_name
from ..runtime.statistics import COUNTERS
from . import kinds
from .arguments import Arguments, gather
from .outputs import check_outputs, fill
from .table import EVERYWHERE
from .words import translated

if TYPE_CHECKING:
    from .operator import Operator

_LACKING = (UnsupportedDTypeError, UnsupportedOpError, ResourceError)
"""What a target cannot do, found before anything is launched."""
_ABOUT_CALLS = (LaunchError, TargetError, FallbackError, NoDeviceError, DeviceAssertionError)
"""Errors that speak of a function called; those about a kernel's text speak of its own words."""
_ROUTE = ("backend", "device")


def run(op: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of ``op.function(*args, **kwargs)``, with arrays of any library.

    Raises what the function raises, in the operator's name.
    """
    if OBSERVED.operator:  # within another operator's host function: part of it
        return op.function(*args, **kwargs)
    with watched(op) as runs:
        given = prepared(op, args, kwargs)
        found = _with_fallback(op, given)
        for plan, _, _ in runs:
            COUNTERS.operator_cell(op.name, plan.kernel, plan.backend)[0] += 1
        return given.results(found)


@contextmanager
def watched(op: Operator) -> Iterator[list[Run]]:
    """Note the launches of ``op`` in the ``with`` block, and let errors speak of it."""
    before = OBSERVED.operator, OBSERVED.runs
    runs: list[Run] = []
    OBSERVED.operator, OBSERVED.runs = op.name, runs
    try:
        yield runs
    except PortkernelError as e:
        raise named(op, e) from None
    finally:
        OBSERVED.operator, OBSERVED.runs = before
        if before[1] is not None:
            before[1].extend(runs)


def prepared(op: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """The arguments once they are checked, under our own names for them."""
    if kwargs:
        args, kwargs = translated(op.signature.parameters.values(), args, kwargs)
    _check_route(op, kwargs)
    try:
        bound = op.signature.bind(*args, **kwargs)
    except TypeError as e:
        raise ArgumentError(f"{op.name}(): {e}", hint=f"it is {op.name}{shown(op)}") from None
    _check_options(op, bound.arguments)
    return gather(op, args, kwargs)


def _check_options(op: Operator, given: dict[str, Any]) -> None:
    for name, check in op.checks:
        if name in given and (expected := check(given[name])):
            raise ArgumentTypeError(f"{op.name}(): {name}: expected {expected}, got {kinds.shown(given[name])}")


def shown(op: Operator) -> str:
    """The signature without annotations."""
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in op.signature.parameters.values()]
    return str(inspect.Signature(plain))


def _check_route(op: Operator, kwargs: dict[str, Any]) -> None:
    for option in _ROUTE:
        route_name(f"{op.name}()", option, kwargs.get(option))
    backend = kwargs.get("backend") or config.get().backend
    if backend is not None:
        check_backend(backend, f"{op.name}()")


def invoke(op: Operator, given: Arguments) -> Any:
    """The host function's result; ``out``, ``backend`` and ``device`` work also where the function does not take them."""
    rest = {n: v for n, v in given.kwargs.items() if n in op.own or n not in EVERYWHERE}
    if len(rest) == len(given.kwargs):
        return op.function(*given.args, **rest)
    settings = {n: str(v) for n, v in given.kwargs.items() if n in _ROUTE and n not in op.own and v is not None}
    out = None if "out" in op.own else given.kwargs.get("out")
    with config.override(**settings) if settings else nullcontext():
        if out is None:
            return op.function(*given.args, **rest)
        with probing(_ignore, OBSERVED.target):
            like = op.function(*given.args, **rest)
        check_outputs(op.name, out, like)
        return fill(out, op.function(*given.args, **rest))


def _ignore(*launch: Any) -> None:
    """A launch that is not made."""


def _with_fallback(op: Operator, given: Arguments) -> Any:
    """The result on the route that is chosen, or on the reference where the target cannot do it: said, or refused."""
    try:
        return invoke(op, given)
    except _LACKING as e:
        settings = config.get()
        forced = given.kwargs.get("backend") or given.kwargs.get("device") or settings.backend or settings.device
        if forced or not reference_reaches([a.ref for a in given.arrays if a.ref is not None]):
            raise
        reason = f"{op.name}() runs on the reference, slowly: {e.message}"
        if settings.strict:
            raise FallbackError(
                f"{op.name}(): {e.message}", hint=e.hint or "leave strict off to run it on NumPy"
            ) from None
        COUNTERS.fallback(reason)
        with config.override(backend=REFERENCE):
            return invoke(op, given)


def named(op: Operator, error: PortkernelError) -> PortkernelError:
    """``error`` with the operator's name in place of that of a kernel or of an inner function.

    A dtype that a kernel of ours cannot compute with is the caller's mistake, and none in a text of his.
    """
    head, found, rest = error.message.partition("(): ")
    if not found or not head.isidentifier():
        if op.runs_callers_code or not isinstance(error, (DTypeError, *_ABOUT_CALLS)):
            return error
        head, rest = "", error.message
    rest = rest.removeprefix(f"{op.name}(): ")  # where a kernel's own assertion names the operator
    if isinstance(error, DTypeError) and not op.runs_callers_code:
        return ArgumentDTypeError(f"{op.name}(): {rest}", hint=error.hint or "convert the array first")
    if isinstance(error, _ABOUT_CALLS) and error.message != f"{op.name}(): {rest}":
        error.message = f"{op.name}(): {rest}"
        error.args = (error.message,)
    return error
