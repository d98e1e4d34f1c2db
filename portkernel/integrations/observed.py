"""A call of a program as an integration saw it: what ``portkernel coverage --model`` makes its report from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..runtime.observation import Described

How = Literal["kernels", "view", "control", "uncovered"]
State = Literal["native", "wrong", "untested", "unsupported"]


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
    launches: tuple[Described, ...] = ()
