"""The choice for one launch: looked up, or measured within its budget, the analytic choice first and its neighbours next."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import PortkernelError
from ..ir import print_func
from ..lang import Auto
from ..passes import autosize
from ..runtime.checks import grid_of
from ..runtime.choice import Candidate, Request
from ..runtime.identity import identify
from ..runtime.isolate import Child, Crashed
from ..runtime.resident import can_carry, pack
from ..runtime.specialize import choose_sizes, lower, outputs
from .space import VERSION, around, distance
from .store import Choice, Store, Trial, stored

_log = logging.getLogger("portkernel")
_MODULE = "portkernel.tune.child"
_FINALISTS = 3
_WORTH = 0.97
"""The analytic choice stays unless another one takes less than this part of its time, measured again side by side."""

Watch = Callable[[str, int, int], None]
_watch: ContextVar[Watch | None] = ContextVar("portkernel_tune_watch", default=None)


@contextmanager
def watching(report: Watch) -> Iterator[None]:
    """Call ``report(kernel, tried, candidates)`` for every candidate that is measured inside the ``with`` block."""
    token = _watch.set(report)
    try:
        yield
    finally:
        _watch.reset(token)


def choose(request: Request) -> Candidate | None:
    """The stored choice for ``request``, after measuring where the settings ask for it; None if there is none."""
    seconds = request.settings.tune_seconds
    store = stored(request.settings.tune_dir)
    key, facts = _identity(request)
    known = store.get(key)
    enough = known is not None and (known.finished or (seconds is not None and known.spent >= seconds))
    if not enough and seconds != 0:
        if all(can_carry(ref) for ref in request.typed.refs.values()):
            known = _Search(request, key, facts, store, known).run(seconds)
        else:
            _log.warning("tune: %s: arrays in buffers of OpenCL are not measured; sizes are analytic", facts["kernel"])
    if known is None or known.best.seconds is None:
        return None
    return _candidate(request, known.best)


def _candidate(request: Request, trial: Trial) -> Candidate:
    chosen = request.candidates[trial.config]
    return Candidate({**chosen.constants, **trial.sizes}, chosen.options)


def _open(candidate: Candidate) -> dict[str, Auto]:
    return {name: value for name, value in candidate.constants.items() if isinstance(value, Auto)}


def _identity(request: Request) -> tuple[str, dict[str, str]]:
    """The key of a choice, and what a reader should know of it.

    The kernel's IR stands for its text, its constants, and the dtypes and strides of its arguments.
    """
    digest = hashlib.sha256()
    for candidate in request.candidates:
        fixed = {**candidate.constants, **autosize.probe_sizes(_open(candidate))}
        func = request.kernel.lower(request.typed.types, fixed)
        digest.update(print_func(replace(func, constants=())).encode())
        digest.update(repr((candidate.options, sorted(_open(candidate).items()))).encode())
    device = identify(request.device)
    refs = request.typed.refs
    facts = {
        "kernel": request.kernel.name,
        "shapes": ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in request.classes.items()),
        "dtypes": ", ".join(f"{name} {ref.dtype.name}" for name, ref in refs.items()),
        "scalars": ", ".join(f"{name}={value!r}" for name, value in request.scalars),
        "backend": request.driver.name,
        "device": device.name,
        "schedule": request.target.schedule,
        "compiler": f"{device.compiler} {device.driver}".strip(),
        "space": str(VERSION),
        "ir": digest.hexdigest()[:16],
    }
    key = hashlib.sha256("\n".join(f"{k}={v}" for k, v in facts.items()).encode()).hexdigest()[:24]
    return f"{request.kernel.name}-{key}", facts


@dataclass(slots=True)
class _Search:
    request: Request
    key: str
    facts: dict[str, str]
    store: Store
    known: Choice | None
    child: Child = field(default_factory=lambda: Child(_MODULE))

    def run(self, seconds: float | None) -> Choice:
        """Measure until every candidate was tried or ``seconds`` are over; what was measured is stored in any case."""
        begin = time.monotonic()
        trials = list(self.known.trials) if self.known is not None else []
        spent = self.known.spent if self.known is not None else 0.0
        queue = self._candidates()
        with tempfile.TemporaryDirectory(prefix="portkernel-tune-") as folder:
            args = [pack(name, self._value(name), Path(folder)) for name in self.request.typed.types]
            first = self._measure(queue[0], args, folder, None, first=True)  # writes down what the others must compute
            trials = trials or [first]
            if first.seconds is None:
                queue = []  # nothing to compare the others with
            done = {(t.config, tuple(t.sizes.items())) for t in trials}
            finished = False
            try:
                for place, trial in enumerate(queue):
                    if seconds is not None and spent + time.monotonic() - begin >= seconds:
                        break
                    if (trial.config, tuple(trial.sizes.items())) not in done:
                        trials.append(self._measure(trial, args, folder, _best(trials)))
                    if (report := _watch.get()) is not None:
                        report(self.request.kernel.name, place + 1, len(queue))
                else:
                    finished = True
                trials = self._final(trials, args, folder)
            finally:
                self.child.stop()
                if trials:
                    total = spent + time.monotonic() - begin
                    total = max(total, seconds) if seconds is not None and not finished else total
                    made = Choice(self.key, self.facts, tuple(trials), _chosen(trials), round(total, 3), finished)
                    self.store.put(made)
        return made

    def _value(self, name: str) -> Any:
        typed = self.request.typed
        return typed.refs[name] if name in typed.refs else typed.values[name]

    def _candidates(self) -> list[Trial]:
        """Each configuration as it is, then what lies around it, the nearest first."""
        found: list[tuple[float, int, dict[str, int]]] = []
        request = self.request
        for place, candidate in enumerate(request.candidates):
            sizes = choose_sizes(
                request.kernel, request.typed.types, candidate.constants, request.classes, request.target
            )
            found += [(distance(c, sizes), place, c) for c in around(sizes, _open(candidate))]
        found.sort(key=lambda item: item[:2])
        return [Trial(place, sizes) for _, place, sizes in found]

    def _measure(
        self, trial: Trial, args: list[dict[str, object]], folder: str, best: float | None, first: bool = False
    ) -> Trial:
        """``trial`` with its time, or with the reason for which it has none."""
        try:
            job = self._job(trial, args, folder, best, first)
        except PortkernelError as e:  # sizes that this kernel or device does not take
            return replace(trial, seconds=None, reason=e.message)
        limit = self.request.settings.compile_timeout
        try:
            answer, _ = self.child.run(job, limit)
        except Crashed as e:
            return replace(trial, seconds=None, reason=f"the process {e.what}")
        reason = str(answer.get("failed") or answer.get("reason") or "")
        return replace(trial, seconds=None if reason else float(answer["seconds"]), reason=reason)

    def _job(
        self, trial: Trial, args: list[dict[str, object]], folder: str, best: float | None, first: bool
    ) -> dict[str, object]:
        request = self.request
        candidate = _candidate(request, trial)
        func = lower(request.kernel, request.typed.types, candidate.constants, request.settings)
        grid = request.grid(dict(candidate.constants)) if callable(request.grid) else request.grid
        own = request.driver.target(request.device)
        return {
            "folder": folder,
            "args": args,
            "scalars": {name: request.typed.types[name].dtype.name for name in request.typed.values},
            "kernel": func.name,
            "ir": print_func(replace(func, constants=())),
            "outputs": sorted(outputs(func)),
            "backend": request.driver.name,
            "device": identify(request.device).wanted,
            "schedule": "" if own.schedule == request.target.schedule else request.target.schedule,
            "options": candidate.options.given(),
            "grid": grid_of(grid, request.kernel.name, request.target.max_grid),
            "best": best,
            "first": first,
        }

    def _final(self, trials: list[Trial], args: list[dict[str, object]], folder: str) -> list[Trial]:
        """The best few and the analytic choice once more, in turn, so that what else the machine did hits all alike."""
        order = sorted((t.seconds, i) for i, t in enumerate(trials) if t.seconds is not None)
        again = sorted({i for _, i in order[:_FINALISTS]} | {0})
        if order[:1] == [(trials[0].seconds, 0)] or trials[0].seconds is None:
            return trials
        made = list(trials)
        for round_ in range(2):
            for i in again:
                measured = self._measure(trials[i], args, folder, None)
                if measured.seconds is not None:
                    before = made[i].seconds if round_ else None
                    made[i] = measured if before is None else replace(measured, seconds=min(before, measured.seconds))
        return made


def _best(trials: list[Trial]) -> float | None:
    return min((t.seconds for t in trials if t.seconds is not None), default=None)


def _chosen(trials: list[Trial]) -> int:
    timed = [(t.seconds, i) for i, t in enumerate(trials) if t.seconds is not None]
    if not timed:
        return 0
    seconds, place = min(timed)
    first = trials[0].seconds
    return place if first is None or seconds < _WORTH * first else 0
