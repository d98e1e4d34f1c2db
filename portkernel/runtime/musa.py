"""MUSA: compiled where the vendor's ``mcc`` is on the PATH."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .cache import Entry
from .offload import OffloadDriver


class Driver(OffloadDriver):
    """Objects for mp targets."""

    name = "musa"
    compilers = ("mcc",)
    cure = "install Moore Threads' MUSA toolkit, which has mcc"
    arch = "mp_"
    kind = "mubin"
    instead = 'on a Moore Threads GPU take backend="opencl", or "triton" with the vendor\'s fork'

    def command(self, compiler: str, arch: str, text: Path, out: Path) -> list[str]:
        return [compiler, "-c", "-x", "musa", f"--offload-arch={arch}", str(text), "-o", str(out)]


def compile_job(job: Mapping[str, Any]) -> Entry:
    """For the compiler process."""
    return Driver().compile_job(job)
