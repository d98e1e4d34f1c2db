"""``portkernel doctor``: what each backend has here, and what would give it the rest."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from .. import backends, config
from ..coverage.outputs.terminal import console
from ..coverage.places import Found
from ..coverage.pool import ask
from ..runtime import survey
from ..runtime.identity import installed

CAN = {
    "run": "run kernels",
    "interpret": "interpret its text on the CPU, slowly, and compile",
    "compile": "emit and compile text",
    "emit": "emit text",
}


def environment() -> dict[str, str]:
    """Versions of what everything stands on, and where the cache is."""
    folder = config.get().cache_dir
    return {
        "portkernel": installed("portkernel") or "not installed: running from the source tree",
        "python": platform.python_version(),
        "numpy": installed("numpy") or "",
        "ml_dtypes": installed("ml_dtypes") or 'absent: pip install "portkernel[lowp]" for bfloat16 and float8',
        "torch": installed("torch") or "absent",
        "platform": platform.platform(),
        "cache": "off" if folder is None else str(folder),
    }


@click.command(short_help="What each backend has here, and what would give it the rest.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def doctor(as_json: bool) -> None:
    """Say what each backend has on this machine, what is missing, and the command that fixes it.

    Devices of other vendors are looked for by their query tools, their plug-ins for PyTorch and their compilers, where
    those are installed; each is asked in a process of its own, with a time limit.
    """
    found = ask()
    findings = [_finding(name, found.get(name, Found())) for name in backends.names()]
    seen = survey.sightings()
    if as_json:
        everything = {
            "environment": environment(),
            "backends": [dataclasses.asdict(f) for f in findings],
            "vendors": [dataclasses.asdict(s) for s in seen],
        }
        json.dump(everything, sys.stdout, indent=1)
        click.echo()
        return
    out = console()
    for name, text in environment().items():
        out.print(f"{name:<12}{escape(text)}")
    table = Table("backend", "can here", "versions", "devices", "missing", "what to do", box=box.SIMPLE_HEAD)
    for f in findings:
        versions = "\n".join(f"{name} {number}" for name, number in f.versions.items())
        cells = (f.backend, CAN[f.can], versions, "\n".join(f.devices), f.missing, f.cure)
        table.add_row(*(escape(text) for text in cells))
    out.print(table)
    if seen:
        out.print(_vendors(seen))
    else:
        out.print("No vendor's tool, plug-in for PyTorch or compiler was found on this machine.")
    out.print("Text can be emitted for every backend without its packages; compiling and running need them.")


def _finding(name: str, here: Found) -> survey.Finding:
    """What is to be said of a backend."""
    return survey.examine(name, here.devices, here.interpreters, here.error, here.hint)


def _vendors(seen: tuple[survey.Sighting, ...]) -> Table:
    """What vendors' software shows, and how kernels get to the devices."""
    table = Table("vendor", "seen by", "version", "devices", "profile", "routes", "problem", box=box.SIMPLE_HEAD)
    for s in seen:
        lists = ("\n".join(s.devices), "\n".join(s.profiles), "\n".join(s.routes))
        table.add_row(*(escape(text) for text in (s.vendor, s.by, s.version, *lists, s.problem)))
    return table
