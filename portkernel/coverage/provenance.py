"""Where a report comes from: machine, versions, commit, and a hash of the code that tried and judged."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
KERNELS = PACKAGE.parent / "kernels"
PACKAGES = (
    "portkernel", "numpy", "ml_dtypes", "pyopencl", "pocl-binary-distribution", "intel-opencl-rt", "triton", "torch",
    "cupy-cuda13x", "nvidia-cuda-nvrtc", "onnx",
)  # fmt: skip


def made(start: float, seconds: float, complete: bool, command: Sequence[str]) -> dict[str, object]:
    """The ``made`` part of a report. ``start`` is a time stamp; ``command`` the options of the run."""
    commit, dirty = revision()
    return {
        "date": now(start),
        "seconds": round(seconds, 1),
        "complete": complete,
        "command": list(command),
        "machine": machine_name(),
        "cores": os.cpu_count() or 1,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": commit,
        "dirty": dirty,
        "harness": harness(),
    }


def now(stamp: float | None = None) -> str:
    """A moment in UTC, to the second."""
    moment = datetime.now(UTC) if stamp is None else datetime.fromtimestamp(stamp, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def machine_name() -> str:
    """The CPU as the operating system names it, with what tells its generation where the name does not.

    Virtual machines call processors of different widths and caches all "AMD EPYC".
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            found = cpu_name(lines)
    except OSError:
        found = ""
    return found or platform.processor() or platform.machine()


_WIDTHS = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"))


def cpu_name(lines: Iterable[str]) -> str:
    """``AMD EPYC (family 25 model 1, AVX2)`` from the lines of ``/proc/cpuinfo``; empty where they name no model."""
    facts: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            break  # the end of the first processor
        facts[name.strip()] = value.strip()
    if "model name" not in facts:
        return ""
    flags = facts.get("flags", "").split()
    more = [f"family {facts['cpu family']} model {facts['model']}"] if {"cpu family", "model"} <= facts.keys() else []
    more += [label for flag, label in _WIDTHS if flag in flags][:1]
    return facts["model name"] + (f" ({', '.join(more)})" if more else "")


@cache
def revision() -> tuple[str, bool]:
    """The commit of the source tree and whether tracked files differ from it; nothing for an installed package."""
    if not (PACKAGE.parent / ".git").exists():
        return "", False
    try:
        return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", False


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=PACKAGE, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


@cache
def harness() -> str:
    """A hash of what tries and judges: two reports of one harness asked the same questions."""
    folders = (PACKAGE / "coverage", PACKAGE / "ops" / "samples")
    return _hash([*(file for folder in folders for file in sorted(folder.glob("*.py"))), PACKAGE / "catalog.py"])


@cache
def code() -> str:
    """A hash of all our code: what was measured under another one says nothing of this one."""
    return _hash([*sorted(PACKAGE.rglob("*.py")), *sorted(KERNELS.rglob("*.py"))])


def _hash(files: Iterable[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        found.update(file.name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
