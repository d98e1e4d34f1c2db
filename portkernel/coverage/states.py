"""The states a cell can be in: what each one claims, and how two of them compare."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """What is known of an operator on a dtype on a column, from most to least evidence that it can be used."""

    NATIVE = "native"
    EMULATED = "emulated"
    COMPILED = "compiled"
    EMITTED = "emitted"
    DEGRADED = "degraded"
    FALLBACK = "fallback"
    UNSUPPORTED = "unsupported"
    WRONG = "wrong"
    UNTESTED = "untested"

    @property
    def ran(self) -> bool:
        """Whether results within the bound were seen, computed by our own kernels in the declared dtype."""
        return self in (State.NATIVE, State.EMULATED)

    @property
    def covered(self) -> bool:
        """Whether the cell counts in a percentage: it ran, or, where nothing can run, a compiler took it."""
        return self.ran or self is State.COMPILED


MEANING: dict[State, str] = {
    State.NATIVE: "ran on the device; every result within its bound; launches of our kernels were counted, fallbacks were not",
    State.EMULATED: "ran, within its bound, but not in arithmetic of the device's own: an interpreter on the CPU, or a wider type",
    State.COMPILED: "a device compiler accepted every kernel of the call for the named architecture; nothing was executed",
    State.EMITTED: "the text of every kernel was written; no compiler for it was tried",
    State.DEGRADED: "ran, but the device executes the declared dtype with less precision than it claims: a probe shows it",
    State.FALLBACK: "something other than our kernel on this backend computed the result, or part of it",
    State.UNSUPPORTED: "the operator or the backend refuses this dtype or layout, and says so",
    State.WRONG: "a result beyond its bound, or none: an error, a refused text, a crash, no answer in time",
    State.UNTESTED: "not tried in this run",
}

LETTERS: dict[State, str] = {
    State.NATIVE: "N",
    State.EMULATED: "E",
    State.COMPILED: "C",
    State.EMITTED: "T",
    State.DEGRADED: "D",
    State.FALLBACK: "F",
    State.UNSUPPORTED: "U",
    State.WRONG: "W",
    State.UNTESTED: "·",
}
"""What stands for a state where there is little room, so that no colour says anything alone. T is for text: what is emitted."""

RANK: dict[State, int] = {state: -place for place, state in enumerate(State)}
"""Greater is better; UNTESTED is outside the order (see :mod:`.baseline`)."""
