"""What the coverage table is made of: cells, the steps that fill them, and the states they end in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class State(Enum):
    """How far a kernel got on a backend, on this machine. The order is from most to least evidence."""

    RUN = "run"
    EMULATED = "run in emulation"
    COMPILED = "compiled"
    EMITTED = "emitted"
    UNSUPPORTED = "not supported"
    FAILED = "failed"


LEGEND: dict[State, str] = {
    State.RUN: "executed on the named device, every result within its bound",
    State.EMULATED: "the emitted text executed by its language's interpreter on the CPU, results within their bounds",
    State.COMPILED: "a device compiler accepted the text for the named architectures; nothing was executed",
    State.EMITTED: "text was written; no compiler for it on this machine",
    State.UNSUPPORTED: "the backend refuses this dtype or operation, and says so",
    State.FAILED: "wrong result, error, crash, or no answer in time",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to try in a worker process. ``mode`` is run, emulate, compile or emit."""

    kernel: str
    dtype: str
    backend: str
    mode: str
    target: str = ""
    label: str = ""
    """What the table calls the place: a device, or an architecture for compile steps."""
    cases: int = 0
    """How many cases to check at most; 0 for all."""

    @property
    def cell(self) -> tuple[str, str, str]:
        return self.kernel, self.dtype, self.backend


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step came to. ``error`` is the largest error as a multiple of its bound; times are seconds."""

    state: State
    where: str = ""
    reason: str = ""
    error: float | None = None
    case: str = ""
    cases: int = 0
    seconds: float | None = None
    numpy_seconds: float | None = None
    emulated: tuple[str, ...] = ()
    took: float = 0.0
    """Seconds that the whole step took in its worker, start of the worker included."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One kernel on one dtype on one backend: the outcomes of its steps, and what they add up to."""

    kernel: str
    dtype: str
    backend: str
    outcomes: tuple[tuple[Step, Outcome], ...] = field(default=())

    @property
    def failures(self) -> tuple[tuple[Step, Outcome], ...]:
        return tuple((s, o) for s, o in self.outcomes if o.state is State.FAILED)

    @property
    def state(self) -> State:
        """FAILED if any step failed, else the state with most evidence."""
        if self.failures:
            return State.FAILED
        order = list(State)
        return min((o.state for _, o in self.outcomes), key=order.index, default=State.EMITTED)

    @property
    def measured(self) -> Outcome | None:
        """The outcome that executed something, if one did."""
        return next((o for _, o in self.outcomes if o.error is not None), None)

    @property
    def reason(self) -> str:
        """Why the state is not a better one."""
        source = self.failures or tuple((s, o) for s, o in self.outcomes if o.state is self.state)
        return next((o.reason for _, o in source if o.reason), "")

    def describe(self) -> str:
        """The state in words, with its devices and architectures."""
        parts: list[str] = []
        for state in State:
            places = list(dict.fromkeys(o.where for _, o in self.outcomes if o.state is state))
            shown = ", ".join(p for p in places if p)
            if not places:
                continue
            if state is State.RUN:
                parts.append(f"run on {shown}")
            elif state is State.COMPILED:
                parts.append(f"compiled for {shown}")
            elif state is State.FAILED:
                parts.append(f"FAILED{f' ({shown})' if shown else ''}")
            else:
                parts.append(state.value)
        return "; ".join(parts)
