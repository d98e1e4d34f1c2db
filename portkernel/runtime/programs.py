"""The compiled forms of a kernel, and the plans made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import backends, config
from ..errors import ArgumentError, ResourceError
from ..ir import Func
from ..lang import Auto
from ..targets import Target, variant
from . import route
from .binding import Bound, Typed, constants_key
from .checks import check_output
from .driver import Device, Driver, Loaded, Value
from .plan import Plan, spans
from .specialize import choose_sizes, emit, outputs
from .specs import Config, Options
from .statistics import COUNTERS

if TYPE_CHECKING:
    from .kernel import Kernel


@dataclass(frozen=True, slots=True)
class Program:
    """A kernel compiled for one signature on one device."""

    func: Func
    loaded: Loaded
    writes: frozenset[str]
    constants: dict[str, object]
    by_address: bool


class Programs:
    """Everything compiled of one kernel. Its methods run under the kernel's lock: each thing is compiled once."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._compiled: dict[tuple[Any, ...], Program] = {}
        self._sizes: dict[tuple[Any, ...], dict[str, int]] = {}

    def plan(self, bound: Bound, typed: Typed, settings: config.Config) -> Plan:
        """Route, compile what is not compiled yet, and check the outputs; nothing is launched."""
        name = self.kernel.name
        driver, device = route.choose(name, typed.refs, bound.backend, bound.device, settings)
        target = current(driver, device, settings)
        program = self._configured(bound, typed, driver, device, target, settings)
        for written in program.writes:
            check_output(typed.refs[written], written, name)
        names = tuple(p.hint for p in program.func.params)
        args: list[Value] = [typed.refs[n] if n in typed.refs else typed.values[n] for n in names]
        return Plan(
            name,
            names,
            program.loaded.prepare(args),
            dict(program.constants),
            target.max_grid,
            spans(names, typed.refs, program.writes),
            not device.memory.startswith("opencl:"),
            COUNTERS.cell(name, driver.name),
        )

    def _configured(
        self, bound: Bound, typed: Typed, driver: Driver, device: Device, target: Target, settings: config.Config
    ) -> Program:
        """The program of the first configuration that fits the device; of the defaults if there are none."""
        candidates: tuple[Config | None, ...] = self.kernel.configs or (None,)
        for place, candidate in enumerate(candidates):
            constants, options = configured(self.kernel.name, bound, candidate)
            try:
                return self._program(typed, constants, options, driver, device, target, settings)
            except ResourceError:
                if place == len(candidates) - 1:
                    raise
        raise AssertionError("no candidates")

    def _program(
        self,
        typed: Typed,
        constants: dict[str, object],
        options: Options,
        driver: Driver,
        device: Device,
        target: Target,
        settings: config.Config,
    ) -> Program:
        fn = self.kernel.parsed
        constants = {**constants, **self._auto(typed, constants, target)}
        # Under other folders nothing was dumped, or another text was compiled.
        folders = settings.dump_dir, settings.override_dir
        key = (tuple(typed.types.values()), constants_key(constants), driver.name, device.key, options, target, folders)
        found = self._compiled.get(key)
        if found is None:
            COUNTERS.add("misses")
            backend = backends.find(driver.name)
            func, source = emit(fn, typed.types, constants, backend, target, options, settings)
            loaded = driver.compile(source, func, device)
            by_address = not device.memory.startswith("opencl:")
            found = self._compiled[key] = Program(func, loaded, outputs(func), constants, by_address)
        return found

    def _auto(self, typed: Typed, constants: dict[str, object], target: Target) -> dict[str, int]:
        """The automatic sizes: chosen once for each class of shapes, so that similar shapes share a compiled kernel."""
        if not any(isinstance(value, Auto) for value in constants.values()):
            return {}
        classes = {name: tuple(_class(n) for n in shape) for name, shape in typed.dims.items()}
        key = (tuple(typed.types.values()), constants_key(constants), tuple(classes.items()), target)
        found = self._sizes.get(key)
        if found is None:
            found = self._sizes[key] = choose_sizes(self.kernel.parsed, typed.types, constants, classes, target)
        return found


def _class(n: int) -> int:
    """Sizes are told apart exactly up to 16, then by the power of two that holds them."""
    return n if n <= 16 else 1 << (n - 1).bit_length()


def configured(kernel: str, bound: Bound, candidate: Config | None) -> tuple[dict[str, object], Options]:
    """The constants and options of a launch under a configuration; what the caller named stays."""
    if candidate is None:
        return bound.constants, bound.options
    for name, _ in candidate.constants:
        if name not in bound.constants:
            raise ArgumentError(
                f"{kernel}(): configs: expected compile-time parameters of the kernel, got {name!r}",
                hint="the constants are " + ", ".join(bound.constants),
            )
    chosen = {name: value for name, value in candidate.constants if name not in bound.given}
    options = Options(bound.options.num_warps or candidate.num_warps, bound.options.num_stages or candidate.num_stages)
    return {**bound.constants, **chosen}, options


def current(driver: Driver, device: Device, settings: config.Config) -> Target:
    """The target of ``device`` under these settings."""
    target = driver.target(device)
    if settings.opencl_schedule in ("cpu", "gpu") and driver.name == "opencl":
        return scheduled(target, settings.opencl_schedule)
    return target


def scheduled(target: Target, schedule: str) -> Target:
    """``target`` under another schedule: a CPU treated as a GPU takes groups of several threads, and vice versa."""
    if target.schedule == schedule:
        return target
    if schedule == "gpu":
        return variant(target, schedule="gpu", lanes=32, max_threads=256, local_bytes=min(target.local_bytes, 65536))
    return variant(target, schedule="cpu", lanes=0, max_threads=1)
