"""Where a call would run and why, and what a backend can do: asked, with nothing launched, compiled or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backends, config, dtypes
from ..backends.base import Support
from ..dtypes import DType, as_dtype
from ..errors import ArgumentDTypeError, ArgumentTypeError, DTypeError, LaunchError, PortkernelError, TargetError
from ..ir import Func, Op, walk
from ..runtime import inspection, reasons
from ..runtime.observation import Described, describing
from ..runtime.route import REFERENCE, check_backend
from .calls import invoke, prepared, watched
from .registry import find
from .samples import samples

if TYPE_CHECKING:
    from .operator import Operator


@dataclass(frozen=True, slots=True)
class Step:
    """A launch: the kernel, and its compile-time constants with the sizes that were chosen."""

    kernel: str
    config: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call runs. ``kernel`` and ``config`` are those of the launch with the most data; ``steps`` are all.

    ``rejected`` are the backends that were not taken, each with why. A view is no launch: then ``steps`` is empty.
    """

    operator: str
    backend: str
    device: str
    kernel: str
    config: Mapping[str, object]
    reason: str
    rejected: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        if not self.steps:
            return f"{self.operator}: {self.reason}"
        sizes = ", ".join(f"{n}={v}" for n, v in self.config.items() if isinstance(v, int))
        lines = [
            f"{self.operator}: {self.kernel}({sizes}) on {self.backend}, {self.device}",
            f"  because {self.reason}",
        ]
        lines += [f"  not {backend}: {why}" for backend, why in self.rejected]
        return "\n".join(lines)


def _launches(op: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Described]:
    """What the operator would launch for these arguments; its results are made and never filled."""
    with watched(op), describing() as found:
        invoke(op, prepared(op, args, kwargs))
    return found


def _size(launch: Described) -> int:
    return sum(int(np.prod(a.shape)) for a in launch.args if hasattr(a, "shape"))


def explain(op: Operator | str, /, *args: Any, **kwargs: Any) -> Route:
    """Where ``op(*args, **kwargs)`` would run, with which kernel and sizes, and why not elsewhere.

    Nothing is launched, and ``out`` stays as it is. Raises what the call would raise before its first launch.

    >>> import portkernel as pk
    >>> found = pk.explain("softmax", np.zeros((4, 100), np.float32), backend="numpy")
    >>> found.backend, found.kernel
    ('numpy', 'softmax_row')
    """
    known = find(op)
    settings = config.get()
    with watched(known):
        launches = _launches(known, args, kwargs)
        if not launches:
            return Route(known.name, "none", "", "none", {}, "nothing is launched: a view, or an empty result")
        largest = max(launches, key=_size)
        choice = reasons.choice_of(known.name, largest.args, largest.backend, largest.device, settings)
        backend, target, reason = choice.backend, choice.target, choice.reason
        rejected = list(choice.rejected)
        try:
            steps = [_step(one, backend, target) for one in launches]
        except TargetError as e:
            if choice.is_forced or not choice.has_reference or settings.strict:
                raise
            rejected.insert(0, (backend, e.message))
            backend, target, device = REFERENCE, reasons.profile_for(REFERENCE, None), REFERENCE
            reason = "a fallback: the target of the first choice cannot do it"
            return _route(
                known, backend, device, reason, rejected, [_step(o, backend, target) for o in launches], launches
            )
    return _route(known, backend, choice.device, reason, rejected, steps, launches)


def _step(launch: Described, backend: str, target: Any) -> Step:
    made = inspection.emitted(launch.kernel, launch.args, launch.constants, backend, target, launch.kernel.name)
    return Step(launch.kernel.name, dict(made.constants))


def _route(
    op: Operator, backend: str, device: str, reason: str, rejected: list[tuple[str, str]], steps: list[Step],
    launches: list[Described],
) -> Route:  # fmt: skip
    main = steps[max(range(len(launches)), key=lambda i: _size(launches[i]))]
    others = tuple((b, why) for b, why in rejected if b != backend)
    return Route(op.name, backend, device, main.kernel, main.config, reason, others, tuple(steps))


# --- what a backend can do ----------------------------------------------------------------------------------


def supports(
    name: Operator | str, dtype: DType | str = "float32", backend: str | None = None, device: str | None = None
) -> Support:
    """Whether an operator runs on arrays of ``dtype`` by ``backend`` on ``device``, and why not.

    ``device`` is part of a device's name, or the name of a target profile; without it, the backend's own device here, or the
    profile that it usually emits for. The answer is the emitter's: the kernels of the operator's samples are lowered for
    the target, and none is compiled. ``emulated``: the dtype's arithmetic is done in a wider type there.

    >>> import portkernel as pk
    >>> pk.supports("softmax", dtype="int8").state
    'unsupported'
    """
    op = find(name)
    try:
        kind = as_dtype(dtype)
    except DTypeError as e:
        raise ArgumentDTypeError(f"supports(): dtype: {e.message}", hint=e.hint) from None
    chosen = backend or config.get().backend or reasons.default_backend()
    check_backend(chosen, "supports()")
    profile = reasons.profile_for(chosen, device, "supports()")
    return _supports(op, kind, chosen, profile)


@lru_cache(maxsize=4096)
def _supports(op: Operator, dtype: DType, backend: str, target: Any) -> Support:
    found = probe(op, dtype)
    if isinstance(found, Support):
        return found
    known = backends.find(backend)
    emulated: Support | None = None
    for launch in found:
        try:
            made = inspection.emitted(launch.kernel, launch.args, launch.constants, backend, target, launch.kernel.name)
        except TargetError as e:
            return Support("unsupported", e.message)
        for kind in _kinds(made.func, dtype):
            answer = known.supports(kind, dtype, target)
            if not answer:
                return answer
            if answer.state == "emulated" and dtype.name not in target.native:
                emulated = emulated or answer
    return emulated or Support("native")


def _kinds(func: Func, dtype: DType) -> set[type[Op]]:
    """The operations of ``func`` that take or make elements of ``dtype``."""
    return {
        type(op)
        for op in walk(func.body)
        if any(getattr(value.type, "dtype", None) == dtype for value in (*op.results, *op.operands))
    }


def probe(op: Operator, dtype: DType) -> list[Described] | Support:
    """The launches of the operator's samples on ``dtype``; or that it does not take the dtype."""
    given = samples(op.name, dtype)
    if not given:
        return Support("unsupported", f"{op.name}() has no samples: register it with inputs=")
    found: list[Described] = []
    refused = ""
    for sample in given:
        try:
            found += _launches(op, sample.args, {**sample.kwargs, "backend": REFERENCE})
        except (LaunchError, PortkernelError) as e:
            refused = refused or e.message
    return Support("unsupported", refused) if refused and not found else found


def kernels_of(op: Operator) -> tuple[str, ...]:
    """The kernels that the operator's samples launch, in any dtype."""
    names: dict[str, None] = {}
    for dtype in (dtypes.float32, dtypes.int32):
        found = probe(op, dtype)
        if isinstance(found, list):
            names.update((one.kernel.name, None) for one in found)
    return tuple(names)


def dtypes_of(op: Operator) -> tuple[DType, ...]:
    """The dtypes of which the operator takes its first sample."""
    found = []
    for dtype in dtypes.ALL:
        given = samples(op.name, dtype)[:1]
        try:
            for sample in given:
                _launches(op, sample.args, {**sample.kwargs, "backend": REFERENCE})
        except (ArgumentDTypeError, ArgumentTypeError, DTypeError, TargetError):
            continue
        if given:
            found.append(dtype)
    return tuple(found)
