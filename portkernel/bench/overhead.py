"""What a call costs above its driver's launch: ``portkernel bench overhead``."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from importlib import import_module
from typing import Any

import numpy as np

import portkernel as pk

from .. import catalog
from ..coverage.provenance import machine_name
from ..errors import ArgumentError
from ..ops.replay import describe
from ..runtime.address import reader_of
from ..runtime.recorder import Recorder, recording
from ..runtime.replay import Replay

Run = Callable[[], object]
LOOP = 100
"""Calls of each contestant in a round."""
ROWS, COLUMNS = 4, 64
"""A softmax of so few elements that the launch is all that it costs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to make the same launch. ``above`` is CPU time of the calling thread, less that of the driver's own calls."""

    name: str
    wall: float
    """Microseconds a call, the median over rounds."""
    above: float
    budget: float | None
    parts: Mapping[str, float]
    """Microseconds of its parts, each measured by itself; what remains of ``above`` is ``the rest``."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Everything that one run of the command measured."""

    machine: str
    device: str
    day: str
    rows: tuple[Row, ...]
    first_use: tuple[float, float]
    """Milliseconds, wall and CPU, of ``import portkernel`` and the first call of an operator that the disk cache knows, in a
    fresh process that has imported NumPy."""

    def fields(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def measure(device: str | None = None, seconds: float = 3.0) -> Overhead:
    """Time the ways to launch one small kernel, interleaved. Raises ArgumentError where the device has no calls of its own."""
    x = np.linspace(0, 1, ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS)
    out = np.empty_like(x)
    with pk.use(device=device):
        recorder = Recorder([x, out])
        with recording(recorder):
            pk.ops.softmax.function(x, out=out)
        step, (values, owners) = recorder.steps[0], recorder.calls[0]
        launch: Any = step.plan.launch
        if not hasattr(launch, "bare"):
            raise ArgumentError(
                f"bench overhead: device: expected one with a driver, got {step.plan.device}",
                hint='pip install "portkernel[cpu]"',
            )
        kernel = _kernel()
        constants = dict(step.plan.meta)
        views = [np.asarray(a) for a in owners]
        captured = pk.capture(lambda x, out: pk.ops.softmax(x, out=out), x, out)
        for _ in range(3):
            pk.ops.softmax(x), pk.ops.softmax(x, out=out)
        contestants: dict[str, tuple[Run, float | None]] = {
            "the driver's calls alone": (launch.bare(step.sizes, values, owners), None),
            "kernel[grid](x, out)": (lambda: kernel[step.sizes[:2]](*views, **constants), 15.0),
            "pk.ops.softmax(x)": (lambda: pk.ops.softmax(x), 15.0),
            "pk.ops.softmax(x, out=out)": (lambda: pk.ops.softmax(x, out=out), 15.0),
            "captured.replay()": (captured.replay, 3.0),
            "captured(x, out)": (lambda: captured(x, out), 3.0),
            "softmax's host function": (lambda: pk.ops.softmax.function(x, out=out), None),
        }
        taken = _rounds({name: run for name, (run, _) in contestants.items()}, seconds)
        parts = {
            "kernel[grid](x, out)": _kernel_parts(step, values, owners, views, constants),
            "pk.ops.softmax(x)": _operator_parts((x,), {}),
            "pk.ops.softmax(x, out=out)": _operator_parts((x,), {"out": out}),
        }
    base = taken["the driver's calls alone"][1]
    rows = []
    for name, (_, budget) in contestants.items():
        wall, cpu = taken[name]
        above = cpu - base
        known = dict(parts.get(name, {}))
        if known:
            known["the rest"] = above - sum(known.values())
        rows.append(Row(name, wall, above, budget, known))
    return Overhead(machine_name(), step.plan.device, date.today().isoformat(), tuple(rows), _first_use(device))


_FIRST_USE = f"""
import time
import numpy as np
x = np.zeros(({ROWS}, {COLUMNS}), np.float32)
wall, cpu = time.perf_counter(), time.process_time()
import portkernel as pk
pk.ops.softmax(x)
print(1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu))
"""


def _first_use(device: str | None) -> tuple[float, float]:
    """The shortest of some child processes; the first of them writes what was not cached."""
    env = os.environ | ({"PORTKERNEL_DEVICE": device} if device else {})
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    done = [
        subprocess.run([sys.executable, "-c", _FIRST_USE], env=env, capture_output=True, text=True, check=True)
        for _ in range(4)
    ]
    walls, cpus = zip(*(map(float, run.stdout.split()[-2:]) for run in done[1:]), strict=True)
    return min(walls), min(cpus)


def _kernel() -> pk.Kernel:
    found: pk.Kernel = import_module(f"{catalog.package().__name__}.softmax").softmax_row
    return found


def _rounds(contestants: Mapping[str, Run], seconds: float) -> dict[str, tuple[float, float]]:
    """Wall time and this thread's CPU time of each contestant's calls, in microseconds: medians over rounds of ``LOOP``."""
    walls: dict[str, list[float]] = {name: [] for name in contestants}
    cpus: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(walls[next(iter(walls))]) < 5:
        for name, run in contestants.items():
            wall, cpu = time.perf_counter(), time.thread_time()
            for _ in range(LOOP):
                run()
            cpus[name].append((time.thread_time() - cpu) / LOOP * 1e6)
            walls[name].append((time.perf_counter() - wall) / LOOP * 1e6)
    return {name: (statistics.median(walls[name]), statistics.median(cpus[name])) for name in contestants}


def _time(run: Run, repeat: int = 2000) -> float:
    """Microseconds of one call, at best."""
    best = float("inf")
    for _ in range(5):
        start = time.thread_time()
        for _ in range(repeat):
            run()
        best = min(best, (time.thread_time() - start) / repeat * 1e6)
    return best


def _conversion(arrays: Any) -> float:
    """Reading addresses, shapes, strides and dtypes."""

    def convert() -> None:
        for a in arrays:
            reader = reader_of(type(a))
            assert reader is not None
            reader(a)

    return _time(convert)


def _kernel_parts(step: Any, values: Any, owners: Any, views: Any, constants: dict[str, Any]) -> dict[str, float]:
    kernel, plan = _kernel(), step.plan
    key = kernel._hot_key(tuple(views), constants, [])
    conversion = _conversion(views)
    table = {key: plan}
    return {
        "argument conversion": conversion,
        "signature": max(0.0, _time(lambda: kernel._hot_key(tuple(views), constants, [])) - conversion),
        "cache": _time(lambda: table.get(key)),
        "setting arguments": _time(lambda: plan.launch.set_arguments(step.sizes, values, owners)),
    }


def _operator_parts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, float]:
    replays = pk.ops.softmax.replays

    def signature() -> tuple[Any, ...]:
        key: list[Any] = []
        describe(args, key, [], [])
        if kwargs:
            key += kwargs
            describe(kwargs.values(), key, [], [])
        return tuple(key)

    known = signature()
    assert isinstance(replays.table().get(known), Replay)
    conversion = _conversion([*args, *kwargs.values()])
    return {
        "argument conversion": conversion,
        "signature": max(0.0, _time(signature) - conversion),
        "cache": _time(lambda: replays.table().get(known)),
    }
