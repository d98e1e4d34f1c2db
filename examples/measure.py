"""What the examples share: ours and PyTorch's measured in turn, errors against PyTorch, where the time went."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch

import portkernel as pk
from portkernel.bench.measure import rounds


@dataclass(frozen=True)
class Speed:
    """Items per second, ours and those of PyTorch's own kernels, from medians of runs made in turn."""

    unit: str
    ours: float
    torch: float

    def __str__(self) -> str:
        return (
            f"{self.ours:.2f} {self.unit}/s; PyTorch eager on the CPU {self.torch:.2f} {self.unit}/s; "
            f"ratio {self.ours / self.torch:.2f}"
        )


def speed(
    unit: str, items: int, ours: Callable[[], object], theirs: Callable[[], object], seconds: float = 4.0
) -> Speed:
    """Run both in turn for about ``seconds``, each turn on an idle process, as ``portkernel bench`` does."""
    taken = rounds({"ours": ours, "torch": theirs}, seconds)
    return Speed(unit, items / statistics.median(taken["ours"]), items / statistics.median(taken["torch"]))


def relative_error(got: torch.Tensor, want: torch.Tensor) -> float:
    """The largest difference, as a share of the largest element."""
    scale = want.detach().double().abs().max().clamp(min=1e-30)
    return float((got.detach().double() - want.detach().double()).abs().max() / scale)


def relative_norm(got: torch.Tensor, want: torch.Tensor) -> float:
    """The Euclidean norm of the difference, as a share of that of ``want``."""
    exact = want.detach().double()
    return float((got.detach().double() - exact).norm() / exact.norm().clamp(min=1e-300))


def show_time(run: Callable[[], object]) -> None:
    """Print the table of where one run spent its time, operator by operator."""
    with pk.trace():
        run()


def show_launches() -> None:
    """Print how many kernels ran on which backend, and what fell back."""
    stats = pk.stats()
    backends: dict[str, int] = {}
    for (_, backend), count in stats.launches.items():
        backends[backend] = backends.get(backend, 0) + count
    shown = ", ".join(f"{count} on {name}" for name, count in backends.items())
    print(f"launches: {shown}; fallbacks: {sum(stats.fallbacks.values())}")
