"""The processor that this process runs on, as the system describes it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20}


@cache
def caches(folder: Path = _CACHES) -> dict[str, int]:
    """``l1_bytes`` and ``l2_bytes``: what a hardware thread has of its data caches. Nothing where the system tells nothing.

    Threads that share a cache (both of a core, the cores of a cluster) all run programs, each in its part.
    """
    found: dict[str, int] = {}
    for place in sorted(folder.glob("index*")):
        try:
            level, kind, size, sharing = (
                (place / name).read_text().strip() for name in ("level", "type", "size", "shared_cpu_list")
            )
            if level in ("1", "2") and kind != "Instruction":
                found[f"l{level}_bytes"] = int(size[:-1]) * _UNITS[size[-1]] // _count(sharing)
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return found


def _count(cpus: str) -> int:
    """How many CPUs ``0-3,8`` are."""
    ends = (part.partition("-") for part in cpus.split(","))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)
