"""A call of a program as an integration saw it: what ``portkernel coverage --model`` makes its report from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..runtime.kernel import Kernel

How = Literal["kernels", "view", "control", "uncovered"]
State = Literal["native", "wrong", "untested", "unsupported"]


@dataclass(frozen=True, slots=True)
class Launch:
    """A launch that a call makes: what its text can be emitted from."""

    kernel: Kernel
    args: tuple[Any, ...]
    constants: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Observed:
    """One call of an operator. ``state`` is that on ``route``, the backend that ran it; ``detail`` says why."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    how: How
    state: State
    detail: str
    flops: int
    route: str = ""
    launches: tuple[Launch, ...] = ()


_LAUNCH_OPTIONS = frozenset({"backend", "device", "num_warps", "num_stages"})


def noted(launches: list[Launch]) -> Any:
    """A probe for :func:`portkernel.runtime.observation.probing` that adds to ``launches``."""

    def note(kernel: Kernel, grid: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        launches.append(Launch(kernel, args, {k: v for k, v in kwargs.items() if k not in _LAUNCH_OPTIONS}))

    return note
