"""From a signature to emitted text: lowering, automatic sizes, passes, emission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import config
from ..backends import Backend, Source
from ..errors import TargetError, UnsupportedDTypeError
from ..ir import AtomicCAS, AtomicRMW, Func, Scatter, Store, Tensor, Tile, Type, walk
from ..lang import Auto
from ..targets import Target
from .specs import Options
from .stages import Stages, stages_of
from .statistics import COUNTERS

if TYPE_CHECKING:
    from ..frontend import KernelFn

Types = Mapping[str, Tensor | Tile]
Constants = Mapping[str, object]
Dims = Mapping[str, tuple[int, ...]]
_WRITES = (Store, Scatter, AtomicRMW, AtomicCAS)


def lower(
    fn: KernelFn, types: Types, constants: Constants, settings: config.Config, stages: Stages | None = None
) -> Func:
    """The optimized tile function."""
    from .. import passes  # an eighth of the first launch, which a kernel that was kept does not need

    func = fn.lower(types, constants)
    COUNTERS.add("lowerings")
    on_stage = None
    if stages is not None:
        func = stages.ir("tile", func)
        on_stage = stages.ir
    return passes.pipeline.optimize(func, verify=settings.verify, on_stage=on_stage)


def shape_classes(dims: Dims) -> dict[str, tuple[int, ...]]:
    """The arguments' shapes as sizes are chosen for them: similar shapes share a class, and so a compiled kernel."""
    return {name: tuple(_class(n) for n in shape) for name, shape in dims.items()}


def _class(n: int) -> int:
    """Sizes are told apart exactly up to 16, then to a quarter of the power of two below them, upwards."""
    if n <= 16:
        return n
    step = (1 << (n - 1).bit_length()) // 8
    return -(-n // step) * step


def choose_sizes(fn: KernelFn, types: Types, constants: Constants, dims: Dims, target: Target) -> dict[str, int]:
    """A size for each constant that is still a ``pk.auto``."""
    bounds = {name: value for name, value in constants.items() if isinstance(value, Auto)}
    if not bounds:
        return {}
    from ..passes import autosize

    probes = autosize.probe_sizes(bounds)
    func = fn.lower(types, {**constants, **probes})
    return autosize.choose(func, probes, bounds, dims, target)


def emit(
    fn: KernelFn,
    types: Types,
    constants: Constants,
    backend: Backend,
    target: Target,
    options: Options,
    settings: config.Config,
) -> tuple[Func, Source]:
    """The tile function and the text for ``target``. Raises what the front-end, the passes and the backend raise."""
    stages = stages_of(fn.name, settings)
    func = lower(fn, types, constants, settings, stages)
    check_dtypes(func, target)
    source = backend.emit(func, target)
    given = options.given()
    if given:
        source = replace(source, options=tuple(sorted({**dict(source.options), **given}.items())))
    return func, stages.text(source) if stages is not None else source


def check_dtypes(func: Func, target: Target) -> None:
    """Raise :class:`~portkernel.errors.UnsupportedDTypeError` for a dtype that the target lacks and cannot emulate."""
    if not target.absent:
        return
    for param in func.params:
        _check(param.type, f"{func.name}(): {param.hint}", target)
    for op in walk(func.body):
        for value in op.results:
            try:
                _check(value.type, f"{func.name}()", target)
            except TargetError as e:
                raise e.at(op.loc) from None


def _check(kind: Type, where: str, target: Target) -> None:
    dtype = getattr(kind, "dtype", None)
    if dtype is not None and dtype.name in target.absent:
        raise UnsupportedDTypeError(
            f"{where}: expected a dtype that {target.name} has, got {dtype}",
            hint=f"{target.name} lacks {', '.join(sorted(target.absent))}: cast, or take another device",
        )


def outputs(func: Func) -> frozenset[str]:
    """The names of the parameters that the kernel writes to."""
    return frozenset(op.tensor.hint for op in walk(func.body) if isinstance(op, _WRITES))
