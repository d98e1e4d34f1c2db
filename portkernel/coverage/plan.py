"""Which steps fill the table on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..catalog import Entry
from .model import Step

Environment = Mapping[str, str]
IN_PROCESS: Environment = {"PORTKERNEL_ISOLATE": "0"}
"""A worker is a process that may crash: compilers need none of their own in it."""


@dataclass(frozen=True, slots=True)
class Route:
    """What can be tried with a backend. ``targets`` are (profile, architecture) pairs to compile for.

    ``interpreter`` is the environment under which the backend's own language interprets its text on the CPU.
    """

    backend: str
    targets: tuple[tuple[str, str], ...] = ()
    interpreter: tuple[tuple[str, str], ...] | None = None


ROUTES: tuple[Route, ...] = (
    Route("numpy"),
    Route("opencl"),
    Route(
        "triton",
        (("nvidia-a100", "sm_80"), ("nvidia-h100", "sm_90"), ("amd-mi300x", "gfx942")),
        (("PORTKERNEL_DEVICE", "interpreter"),),
    ),
    Route("cuda", (("nvidia-a100", "sm_80"), ("nvidia-h100", "sm_90"))),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """``checked`` steps may run side by side; ``measured`` ones run alone, afterwards."""

    checked: tuple[tuple[Step, Environment], ...]
    measured: tuple[tuple[Step, Environment], ...]

    def __len__(self) -> int:
        return len(self.checked) + len(self.measured)


def make_plan(
    entries: Iterable[Entry],
    devices: Mapping[str, Sequence[str]],
    backends: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    quick: bool = False,
    cases: int = 3,
) -> Plan:
    """A backend with a device runs there and is measured; one without is interpreted, compiled or only emitted.

    ``quick`` keeps one dtype of each kernel and the first architecture of each backend; ``cases`` bounds how many
    cases of a kernel are checked (0: all).
    """
    checked: list[tuple[Step, Environment]] = []
    measured: list[tuple[Step, Environment]] = []
    pairs = [(e, d.name) for e in entries for d in e.dtypes if not dtypes or d.name in dtypes]
    if quick:
        pairs = list({entry.name: (entry, dtype) for entry, dtype in reversed(pairs)}.values())[::-1]
    for route in ROUTES:
        if backends and route.backend not in backends:
            continue
        device = next(iter(devices.get(route.backend, ())), "")
        for entry, dtype in pairs:
            if device:
                checked.append((Step(entry.name, dtype, route.backend, "run", "", device, cases), IN_PROCESS))
                measured.append((Step(entry.name, dtype, route.backend, "measure", "", device), IN_PROCESS))
            else:
                checked += _without_device(route, entry.name, dtype, quick, cases)
    checked.sort(key=lambda item: sorted(item[1].items()))  # steps of one environment share a worker
    return Plan(tuple(checked), tuple(measured))


def _without_device(route: Route, kernel: str, dtype: str, quick: bool, cases: int) -> list[tuple[Step, Environment]]:
    steps: list[tuple[Step, Environment]] = []
    if route.interpreter is not None:
        steps.append((Step(kernel, dtype, route.backend, "emulate", "", "CPU", cases), dict(route.interpreter)))
    for target, label in route.targets[: 1 if quick else None]:
        steps.append((Step(kernel, dtype, route.backend, "compile", target, label), IN_PROCESS))
    return steps or [(Step(kernel, dtype, route.backend, "emit"), {})]
