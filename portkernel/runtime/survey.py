"""What this machine has: the packages of each backend, compilers on the PATH, and the devices of vendors that show themselves.

Every foreign program is run in a process of its own with a limit: a tool that hangs or a plug-in that crashes costs a
line of the answer.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from .. import targets
from ..errors import MissingDependencyError
from ..targets.detection import Traces, target_of_device, traces
from . import driver as drivers
from . import offload
from .identity import installed

QUERY_SECONDS = 5.0
"""Limit for a tool that lists devices."""
TORCH_SECONDS = 40.0
"""Limit for PyTorch with a plug-in, whose import alone takes seconds."""
_GPU = "a GPU with its driver; text can be emitted and compiled without"
_SIMPLE = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a backend stands on: packages, the one command that adds them, and what gives it a device."""

    packages: tuple[str, ...] = ()
    command: str = ""
    device: str = ""
    offload: bool = False
    """Compiled by a program on the PATH, launched nowhere."""


NEEDS: dict[str, Needs] = {
    "numpy": Needs(("numpy",), "pip install numpy"),
    "opencl": Needs(("pyopencl",), 'pip install "portkernel[cpu]"', 'pip install "portkernel[cpu]"'),
    "triton": Needs(("triton", "torch"), 'pip install "portkernel[triton]"', _GPU),
    "cuda": Needs(("cupy-cuda13x", "nvidia-cuda-nvrtc"), 'pip install "portkernel[cuda]"', _GPU),
    "hip": Needs(offload=True),
    "musa": Needs(offload=True),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One backend on this machine. ``can`` is the most it can do here; ``cure`` is the command that adds what is ``missing``."""

    backend: str
    versions: dict[str, str]
    devices: tuple[str, ...]
    missing: str
    cure: str
    can: str
    """``run``, ``interpret``, ``compile`` or ``emit``."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Traces of a vendor's devices: by a tool, by a plug-in of PyTorch's, or by a compiler on the PATH."""

    vendor: str
    by: str
    version: str = ""
    devices: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    """How a kernel's text gets to these devices, by their profiles."""
    problem: str = ""


# --- backends -----------------------------------------------------------------------------------------------


def examine(
    backend: str, devices: Sequence[str], interpreters: Sequence[str], error: str = "", hint: str = ""
) -> Finding:
    """What backend has and lacks, given what its driver said of ``devices`` and ``interpreters``."""
    needs = NEEDS.get(backend, Needs())
    if needs.offload:
        return _compiler_of(backend)
    versions = {name: found for name in needs.packages if (found := installed(name)) is not None}
    absent = [name for name in needs.packages if name not in versions]
    here = tuple(devices) or tuple(interpreters)
    can = "run" if devices else "interpret" if interpreters else "compile" if versions and not absent else "emit"
    if absent:
        return Finding(backend, versions, here, f"packages {', '.join(absent)}", needs.command, can)
    if devices:
        return Finding(backend, versions, here, "", "", can)
    return Finding(backend, versions, here, error or "no device", hint or needs.device, can)


def _compiler_of(backend: str) -> Finding:
    """A backend that compiles with a program on the PATH and launches nothing."""
    driver = drivers.find(backend)
    assert isinstance(driver, offload.OffloadDriver)
    launch = f"no launcher: {driver.instead}"
    try:
        name, _, number = offload.version(driver.compiler()).partition(" ")
    except MissingDependencyError as error:
        return Finding(backend, {}, (), error.message.partition(": ")[2], driver.cure, "emit")
    return Finding(backend, {name: number}, (), launch, "", "compile")


# --- vendors ------------------------------------------------------------------------------------------------


def sightings(rows: Sequence[Traces] | None = None) -> tuple[Sighting, ...]:
    """Every vendor that shows itself here, by each of its traces. Takes seconds where plug-ins of PyTorch's are installed."""
    found: list[Sighting] = []
    for row in traces() if rows is None else rows:
        if row.query and (tool := shutil.which(row.query[0])) is not None:
            found.append(_by_tool(row, tool))
        if row.torch and find_spec(row.torch) is not None:
            found.append(_by_torch(row))
        if row.compiler and (compiler := shutil.which(row.compiler)) is not None:
            found.append(Sighting(row.vendor, f"compiler {row.compiler}", offload.version(compiler).partition(" ")[2]))
    return tuple(found)


def _by_tool(row: Traces, tool: str) -> Sighting:
    by = f"tool {row.query[0]}"
    said, problem = _said([tool, *row.query[1:]], QUERY_SECONDS)
    matches = list(re.finditer(row.names, said, re.MULTILINE)) if row.names else []
    names = tuple(m["name"].strip() for m in matches)
    driver = next((m["driver"].strip() for m in matches if "driver" in m.groupdict() and m["driver"]), "")
    if not names and not problem:
        problem = "it lists no device that is known by name"
    return _sighted(row, by, driver, names, problem)


def _by_torch(row: Traces) -> Sighting:
    """The plug-in is imported in a child process: it may take seconds, or crash."""
    if not (_SIMPLE.fullmatch(row.torch) and _SIMPLE.fullmatch(row.module)):
        return Sighting(row.vendor, f"plug-in {row.torch}", problem="its name in devices.toml is no Python name")
    program = (
        f"import torch, {row.torch}\nm = torch.{row.module}\n"
        "for i in range(m.device_count()):\n    print('device:', m.get_device_name(i))\n"
    )
    said, problem = _said([sys.executable, "-c", program], TORCH_SECONDS)
    names = tuple(line.partition(": ")[2].strip() for line in said.splitlines() if line.startswith("device: "))
    return _sighted(row, f"plug-in {row.torch}", installed(row.torch) or "", names, problem)


def _sighted(row: Traces, by: str, number: str, names: tuple[str, ...], problem: str) -> Sighting:
    profiles = tuple(dict.fromkeys(t for name in names if (t := target_of_device(name))))
    routes: dict[str, None] = {}
    for profile in profiles:
        for route in targets.record(profile).routes:
            if route.is_open and route.backend:
                routes[f"{route.backend} ({f'fork {route.fork}' if route.fork else route.name})"] = None
    return Sighting(row.vendor, by, number, names, profiles, tuple(routes), problem)


def _said(command: list[str], seconds: float) -> tuple[str, str]:
    """What a program prints, and what went wrong with it."""
    name = command[0].rpartition("/")[2]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=seconds, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "", f"{name} did not answer within {seconds:g} seconds"
    except OSError as error:
        return "", f"{name}: {error.strerror or error}"
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()
        return done.stdout, f"{name} ended with status {done.returncode}" + (f": {last[-1][:160]}" if last else "")
    return done.stdout, ""
