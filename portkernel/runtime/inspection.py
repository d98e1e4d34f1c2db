"""What can be asked of a kernel without a launch: its IR, its text, its binary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import backends, config, targets
from ..backends import Backend, Source
from ..errors import ArgumentTypeError, ResourceError
from ..ir import Func, print_func
from ..targets import Target
from . import driver as drivers
from .binding import Typed, bind, type_specs
from .driver import Binary
from .programs import configured
from .route import check_backend
from .specialize import choose_sizes, emit, lower, shape_classes
from .specs import Config
from .stages import stages_of

if TYPE_CHECKING:
    from .kernel import Kernel

DEFAULT_TARGETS = {
    "numpy": "numpy", "opencl": "opencl-cpu", "triton": "nvidia-h100", "cuda": "nvidia-h100", "hip": "amd-mi300x",
    "musa": "mthreads-s4000-qy2",
}  # fmt: skip
"""The profile that text is emitted for when none is named."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """A kernel's tile function, its text, and all constants of it: those given, and the sizes that were chosen."""

    func: Func
    source: Source
    constants: Mapping[str, object]


class Text(str):
    """Emitted text. It is the string; ``source`` holds the facts that a launch needs."""

    source: Source

    def __new__(cls, source: Source) -> Text:
        made = super().__new__(cls, source.text)
        made.source = source
        return made

    @property
    def text(self) -> str:
        return str(self)

    @property
    def target(self) -> Target:
        return self.source.target


def ir(kernel: Kernel, specs: Sequence[Any], constants: Mapping[str, Any]) -> str:
    return print_func(func(kernel, specs, constants))


def func(kernel: Kernel, specs: Sequence[Any], constants: Mapping[str, Any]) -> Func:
    """The optimized tile function that :meth:`Kernel.ir` prints."""
    first = kernel.configs[0] if kernel.configs else None
    typed, chosen, _ = _bound(kernel, specs, constants, targets.find("numpy"), f"{kernel.name}.ir()", first)
    settings = config.get()
    return lower(kernel.parsed, typed.types, chosen, settings, stages_of(kernel.parsed.name, settings))


def source(
    kernel: Kernel, specs: Sequence[Any], constants: Mapping[str, Any], backend: str | None, target: str | Target | None
) -> Text:
    return Text(emitted(kernel, specs, constants, backend, target, f"{kernel.name}.source()").source)


def compile(
    kernel: Kernel, specs: Sequence[Any], constants: Mapping[str, Any], backend: str | None, target: str | Target | None
) -> Binary:
    """Raises MissingDependencyError where the compiler's package is absent, CompilerError where it refuses the text."""
    made = emitted(kernel, specs, constants, backend, target, f"{kernel.name}.compile()").source
    return drivers.find(made.backend).binary(made)


def emitted(
    kernel: Kernel,
    specs: Sequence[Any],
    constants: Mapping[str, Any],
    backend: str | None,
    target: str | Target | None,
    where: str,
) -> Emitted:
    """The text with what it came from; ``where`` begins the messages, as in ``add.source()``."""
    name = backend or config.get().backend or "opencl"
    check_backend(name, where)
    found = backends.find(name)
    if target is None:
        target = DEFAULT_TARGETS.get(name, "opencl-cpu")
    profile = targets.find(target) if isinstance(target, str) else target
    if not isinstance(profile, Target):
        raise ArgumentTypeError(
            f"{where}: target: expected a profile or its name, got {type(target).__name__}",
            hint="the profiles are " + ", ".join(targets.profiles()),
        )
    candidates: tuple[Config | None, ...] = kernel.configs or (None,)
    for candidate in candidates[:-1]:  # as a launch does: the first that fits the target
        try:
            return _emitted(kernel, specs, constants, found, profile, where, candidate)
        except ResourceError:
            continue
    return _emitted(kernel, specs, constants, found, profile, where, candidates[-1])


def _emitted(
    kernel: Kernel,
    specs: Sequence[Any],
    constants: Mapping[str, Any],
    backend: Backend,
    target: Target,
    where: str,
    candidate: Config | None,
) -> Emitted:
    typed, chosen, options = _bound(kernel, specs, constants, target, where, candidate)
    func, source = emit(kernel.parsed, typed.types, chosen, backend, target, options, config.get())
    return Emitted(func, source, chosen)


def _bound(
    kernel: Kernel,
    specs: Sequence[Any],
    constants: Mapping[str, Any],
    target: Target,
    where: str,
    candidate: Config | None,
) -> tuple[Typed, dict[str, object], Any]:
    fn = kernel.parsed
    bound = bind(kernel.name, fn.params, specs, constants, kernel.configs)
    for option, value in (("backend", bound.backend), ("device", bound.device)):
        if value is not None:
            raise ArgumentTypeError(f"{where}: {option}: expected no such option, got {value!r}")
    typed = type_specs(kernel.name, bound.runtime)
    chosen = configured(kernel.name, bound, candidate)
    sizes = choose_sizes(fn, typed.types, chosen.constants, shape_classes(typed.dims), target)
    return typed, {**chosen.constants, **sizes}, chosen.options
