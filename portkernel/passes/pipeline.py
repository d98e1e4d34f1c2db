"""The passes on tile IR, in order. Each is a pure function from function to function that keeps locations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..ir import Func
from ..ir import verify as check
from .cse import eliminate_common
from .dce import eliminate_dead
from .fold import fold
from .licm import hoist


@dataclass(frozen=True, slots=True)
class Pass:
    """A step of the pipeline; ``reason`` says why it stands where it does."""

    name: str
    run: Callable[[Func], Func]
    reason: str


PIPELINE: tuple[Pass, ...] = (
    Pass("fold", fold, "first, because constants and removed branches leave less for every later pass to look at"),
    Pass("licm", hoist, "before cse, so that what leaves a loop can serve what stands after it"),
    Pass("cse", eliminate_common, "after fold and licm, which make equal index arithmetic look equal"),
    Pass("dce", eliminate_dead, "last, because each pass before it leaves operations without a use"),
)


def optimize(func: Func, *, verify: bool = False, on_stage: Callable[[str, Func], Func] | None = None) -> Func:
    """``func`` after the whole pipeline; results stay bit for bit what they were.

    ``on_stage(name, func)`` sees the outcome of each pass, and returns what the next one gets. With ``verify``, each outcome is checked; raises
    :class:`~portkernel.errors.InternalError` if a pass broke the IR.
    """
    for step in PIPELINE:
        func = step.run(func)
        if verify:
            check(func)
        if on_stage is not None:
            func = on_stage(step.name, func)
    return func
