"""What the compiler knows of a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Schedule = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Target:
    """A device, as far as code generation cares.

    ``lanes`` is how many threads run in lock step (0: none). ``native`` names the dtypes with arithmetic of their own;
    others are emulated in a wider type unless ``absent`` lists them. Sizes are bytes.
    """

    name: str
    vendor: str
    schedule: Schedule
    arch: str = ""
    lanes: int = 0
    local_bytes: int = 32768
    private_bytes: int = 4 << 20
    """Stored tiles of a program of the CPU schedule: they lie on the stack of its thread, usually 8 MiB."""
    max_threads: int = 256
    max_grid: tuple[int, int, int] = (2**31 - 1, 65535, 65535)
    native: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    vector_bytes: int = 16
    """Width of a vector register, for the loops of the CPU schedule."""
    dot_vector_bytes: int = 0
    """Width of the vectors that accumulate a dot product, where it differs from ``vector_bytes``; 64 tells of 32 registers."""
    l1_bytes: int = 32768
    l2_bytes: int = 262144
    units: int = 1
    """Independent cores or multiprocessors."""
    assumed: frozenset[str] = frozenset()
    """Fields, and dtypes, of which the profile knows nothing: what stands here for them is a cautious default."""

    def has(self, feature: str) -> bool:
        return feature in self.features


def variant(target: Target, **changes: object) -> Target:
    """``target`` with facts that were read off the device at hand."""
    return replace(target, **changes)  # type: ignore[arg-type]
