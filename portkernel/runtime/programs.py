"""The compiled forms of a kernel, and the plans made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import TYPE_CHECKING, Any

from .. import backends, config
from ..backends import Source
from ..errors import ArgumentError, ResourceError
from ..ir import Func
from ..lang import Auto
from ..targets import Target, variant
from . import cache, kept, route
from .binding import Bound, Typed, constants_key
from .checks import check_output
from .choice import Candidate, Request, choose
from .driver import Device, Driver, Loaded, Value
from .plan import GridLike, Plan, spans
from .specialize import choose_sizes, emit, outputs, shape_classes
from .specs import Config, Options
from .statistics import COUNTERS

if TYPE_CHECKING:
    from .fingerprint import Reads
    from .kernel import Kernel


@dataclass(frozen=True, slots=True)
class Program:
    """A kernel compiled for one signature on one device; ``names`` are its run-time parameters, in launch order."""

    names: tuple[str, ...]
    loaded: Loaded
    writes: frozenset[str]
    constants: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where and under which settings a launch is to run."""

    driver: Driver
    device: Device
    target: Target
    settings: config.Config


class _Wanted:
    """A kernel under some types and constants at some place, and what an earlier process kept of it."""

    def __init__(self, fn: FunctionType, typed: Typed, candidate: Candidate, place: _Place) -> None:
        self.typed, self.candidate, self.place = typed, candidate, place
        self.classes = shape_classes(typed.dims) if _is_open(candidate.constants) else {}
        self._fn = fn

    @cached_property
    def key(self) -> tuple[str, Reads] | None:
        """That of the disk, and the globals that the kernel holds; None where nothing can be kept."""
        place, settings = self.place, self.place.settings
        compiler = getattr(place.driver, "compiler", None)
        watched = settings.dump_dir, settings.override_dir, settings.verify
        if compiler is None or settings.cache_dir is None or any(watched):
            return None
        types, constants, options = self.typed.types, self.candidate.constants, self.candidate.options
        return kept.key_for(
            self._fn, types, constants, options, self.classes, place.driver.name, place.target, compiler(place.device)
        )

    @cached_property
    def found(self) -> kept.Kept | None:
        store = cache.at(self.place.settings.cache_dir)
        return kept.recall(store, self.key[0]) if store is not None and self.key is not None else None

    def keep(self, found: kept.Kept) -> None:
        store = cache.at(self.place.settings.cache_dir)
        if store is not None and self.key is not None:
            kept.keep(store, self.key[0], found)


class Programs:
    """Everything compiled of one kernel. Its methods run under the kernel's lock: each thing is compiled once."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._compiled: dict[tuple[Any, ...], Program] = {}
        self._emitted: dict[tuple[Any, ...], tuple[Func, Source]] = {}
        """What :meth:`begin` has begun to compile."""
        self._sizes: dict[tuple[Any, ...], dict[str, int]] = {}
        self._choices: dict[tuple[Any, ...], Candidate | None] = {}

    def plan(self, bound: Bound, typed: Typed, settings: config.Config, grid: GridLike) -> Plan:
        """Route, compile what is not compiled yet, and check the outputs; nothing is launched.

        Only a ``grid`` that is a function of the constants can follow sizes that were measured.
        """
        name = self.kernel.name
        driver, device = route.choose(name, typed.refs, bound.backend, bound.device, settings)
        target = target_for(driver, device, settings)
        place = _Place(driver, device, target, settings)
        program = self._configured(bound, typed, place, grid)
        for written in program.writes:
            check_output(typed.refs[written], written, name)
        names = program.names
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
            driver.name,
            device.name,
            tuple(typed.refs[n].extent if n in typed.refs else None for n in names),
            frozenset(names.index(n) for n in program.writes),
            self.kernel.parsed.globals_read,
        )

    def _configured(self, bound: Bound, typed: Typed, place: _Place, grid: GridLike) -> Program:
        """The program that was measured to be best; else that of the first configuration that fits the device."""
        candidates = tuple(configured(self.kernel.name, bound, c) for c in self.kernel.configs or (None,))
        if place.settings.tune != "off" and callable(grid):
            found = self._measured(typed, candidates, place, grid)
            if found is not None:
                return self._program(typed, found, place)
        for candidate in candidates[:-1]:
            try:
                return self._program(typed, candidate, place)
            except ResourceError:
                continue
        return self._program(typed, candidates[-1], place)

    def _measured(
        self, typed: Typed, candidates: tuple[Candidate, ...], place: _Place, grid: GridLike
    ) -> Candidate | None:
        """What measurements say, asked once for each class of shapes; None where they say nothing."""
        if len(candidates) == 1 and not _is_open(candidates[0].constants):
            return None
        classes = shape_classes(typed.dims)
        scalars = tuple((name, typed.values[name]) for name in self.kernel.key if name in typed.values)
        chosen = tuple((constants_key(c.constants), c.options) for c in candidates)
        facts = place.driver.name, place.device.key, place.target, place.settings
        key = (tuple(typed.types.values()), chosen, tuple(classes.items()), scalars, facts)
        if key not in self._choices:
            request = Request(
                self.kernel.parsed, typed, classes, scalars, candidates, place.driver, place.device, place.target,
                grid, place.settings,
            )  # fmt: skip
            self._choices[key] = choose(request)
        return self._choices[key]

    def begin(self, bound: Bound, typed: Typed, settings: config.Config) -> None:
        """Start to compile what a launch needs, where the driver can; not where several configurations compete."""
        driver, device = route.choose(self.kernel.name, typed.refs, bound.backend, bound.device, settings)
        start = getattr(driver, "begin", None)
        if start is None or len(self.kernel.configs) > 1 or settings.tune != "off":
            return
        place = _Place(driver, device, target_for(driver, device, settings), settings)
        candidate = configured(self.kernel.name, bound, next(iter(self.kernel.configs), None))
        wanted = _Wanted(self.kernel.fn, typed, candidate, place)
        key, constants = self._specialised(wanted)
        if wanted.found is None and key not in self._compiled and key not in self._emitted:
            self._emitted[key] = self._emit(typed, constants, candidate.options, place)
            start(self._emitted[key][1], device)

    def _program(self, typed: Typed, candidate: Candidate, place: _Place) -> Program:
        wanted = _Wanted(self.kernel.fn, typed, candidate, place)
        key, constants = self._specialised(wanted)
        found = self._compiled.get(key)
        if found is None:
            COUNTERS.add("misses")
            found = self._compiled[key] = self._revived(wanted, constants) or self._made(wanted, key, constants)
        return found

    def _made(self, wanted: _Wanted, key: tuple[Any, ...], constants: dict[str, object]) -> Program:
        """Lowered and compiled, and kept for other processes."""
        typed, place = wanted.typed, wanted.place
        begun = self._emitted.pop(key) if key in self._emitted else None
        func, source = begun or self._emit(typed, constants, wanted.candidate.options, place)
        loaded, writes = place.driver.compile(source, func, place.device), outputs(func)
        names = tuple(p.hint for p in func.params)
        binary = getattr(loaded, "binary", None)
        if binary is not None and all(p.type == typed.types[p.name] for p in source.params):
            left = wanted.candidate.constants
            sizes = {n: v for n, v in constants.items() if isinstance(v, int) and isinstance(left[n], Auto)}
            wanted.keep(kept.kept_of(binary, sizes, names, source, writes))
        return Program(names, loaded, writes, constants)

    def _revived(self, wanted: _Wanted, constants: dict[str, object]) -> Program | None:
        """What an earlier process compiled, without its text; None where there is no such thing."""
        found, place = wanted.found, wanted.place
        store = cache.at(place.settings.cache_dir)
        entry = store.get(found.binary) if found is not None and store is not None else None
        if found is None or entry is None or wanted.key is None:
            return None
        if any(constants[name] != size for name, size in found.sizes.items()):  # chosen otherwise since
            return None
        source, writes = found.source(place.driver.name, wanted.typed.types, place.target), frozenset(found.writes)
        loaded = place.driver.revive(source, entry.data, writes, place.device)  # type: ignore[attr-defined]  # as it kept it
        if loaded is None:
            return None
        COUNTERS.add("disk_hits")
        self.kernel.parsed.note(wanted.key[1])
        return Program(found.names, loaded, writes, constants)

    def _specialised(self, wanted: _Wanted) -> tuple[tuple[Any, ...], dict[str, object]]:
        """The key of a compiled form, and its constants with the automatic sizes."""
        place, candidate = wanted.place, wanted.candidate
        constants = {**candidate.constants, **self._auto(wanted)}
        # Under other folders nothing was dumped, or another text was compiled.
        folders = place.settings.dump_dir, place.settings.override_dir
        facts = place.driver.name, place.device.key, candidate.options, place.target, folders
        return (tuple(wanted.typed.types.values()), constants_key(constants), facts), constants

    def _emit(self, typed: Typed, constants: dict[str, object], options: Options, place: _Place) -> tuple[Func, Source]:
        backend = backends.find(place.driver.name)
        return emit(self.kernel.parsed, typed.types, constants, backend, place.target, options, place.settings)

    def _auto(self, wanted: _Wanted) -> dict[str, int]:
        """The automatic sizes: chosen once for each class of shapes, so that similar shapes share a compiled kernel."""
        constants = wanted.candidate.constants
        if not _is_open(constants):
            return {}
        types, target = wanted.typed.types, wanted.place.target
        key = (tuple(types.values()), constants_key(constants), tuple(wanted.classes.items()), target)
        found = self._sizes.get(key)
        if found is None:
            found = self._sizes[key] = wanted.found.sizes if wanted.found is not None else self._choose(wanted)
        return found

    def _choose(self, wanted: _Wanted) -> dict[str, int]:
        types, constants = wanted.typed.types, wanted.candidate.constants
        return choose_sizes(self.kernel.parsed, types, constants, wanted.classes, wanted.place.target)


def _is_open(constants: Mapping[str, object]) -> bool:
    """Whether a size is left to the compiler."""
    return any(isinstance(value, Auto) for value in constants.values())


def configured(kernel: str, bound: Bound, candidate: Config | None) -> Candidate:
    """The constants and options of a launch under a configuration; what the caller named stays."""
    if candidate is None:
        return Candidate(bound.constants, bound.options)
    for name, _ in candidate.constants:
        if name not in bound.constants:
            raise ArgumentError(
                f"{kernel}(): configs: expected compile-time parameters of the kernel, got {name!r}",
                hint="the constants are " + ", ".join(bound.constants),
            )
    chosen = {name: value for name, value in candidate.constants if name not in bound.given}
    options = Options(bound.options.num_warps or candidate.num_warps, bound.options.num_stages or candidate.num_stages)
    return Candidate({**bound.constants, **chosen}, options)


def target_for(driver: Driver, device: Device, settings: config.Config) -> Target:
    """The profile to generate code for on ``device``, under the schedule that the settings name."""
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
