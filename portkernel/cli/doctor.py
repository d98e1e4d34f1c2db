"""``portkernel doctor``: what each backend has here, and what would give it the rest."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .. import config
from ..coverage.places import ROUTES, Found
from ..coverage.pool import ask

_GPU = "a GPU with its driver; text can be emitted and compiled without"
PACKAGES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "numpy": (("numpy",), "pip install numpy", ""),
    "opencl": (("pyopencl",), 'pip install "portkernel[cpu]"', 'pip install "portkernel[cpu]"'),
    "triton": (("triton", "torch"), 'pip install "portkernel[triton]"', _GPU),
    "cuda": (("cupy-cuda13x", "nvidia-cuda-nvrtc"), 'pip install "portkernel[cuda]"', _GPU),
}
"""The packages of each backend, the one command that adds them, and what gives it a device."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One backend on this machine. ``cure`` is the command that adds what is ``missing``."""

    backend: str
    versions: dict[str, str]
    devices: tuple[str, ...]
    missing: str
    cure: str


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def examine(backend: str, probe: Found) -> Finding:
    packages, command, device = PACKAGES.get(backend, ((), "", ""))
    versions = {name: found for name in packages if (found := installed(name)) is not None}
    absent = [name for name in packages if name not in versions]
    if absent:
        return Finding(backend, versions, probe.devices, f"packages {', '.join(absent)}", command)
    if probe.devices:
        return Finding(backend, versions, probe.devices, "", "")
    return Finding(backend, versions, probe.interpreters, probe.error or "no device", probe.hint or device)


def environment() -> dict[str, str]:
    """Versions of what everything stands on, and where the cache is."""
    folder = config.get().cache_dir
    return {
        "portkernel": installed("portkernel") or "not installed: running from the source tree",
        "python": platform.python_version(),
        "numpy": installed("numpy") or "",
        "ml_dtypes": installed("ml_dtypes") or 'absent: pip install "portkernel[lowp]" for bfloat16 and float8',
        "platform": platform.platform(),
        "cache": "off" if folder is None else str(folder),
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def doctor(as_json: bool) -> None:
    """Say what each backend has on this machine, what is missing, and the command that fixes it."""
    probes = ask()
    findings = [examine(route.backend, probes.get(route.backend, Found())) for route in ROUTES]
    if as_json:
        everything = {"environment": environment(), "backends": [dataclasses.asdict(f) for f in findings]}
        json.dump(everything, sys.stdout, indent=1)
        click.echo()
        return
    out = Console()
    for name, text in environment().items():
        out.print(f"{name:<12}{escape(text)}")
    table = Table("backend", "packages", "devices", "missing", "what to do")
    for f in findings:
        packages = ", ".join(f"{name} {found}" for name, found in f.versions.items())
        table.add_row(*(escape(text) for text in (f.backend, packages, "\n".join(f.devices), f.missing, f.cure)))
    out.print(table)
    out.print("Text can be emitted for every backend without its packages; compiling and running need them.")
