"""The choice for one launch: looked up, or measured within its budget: the analytic choice, then what is nearest to the best."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
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
from ..targets import Target
from .space import VERSION, around, distance
from .store import Choice, Store, Trial, stored

_log = logging.getLogger("portkernel")
_MODULE = "portkernel.tune.child"
_PATIENCE = 24
"""So many candidates in a row that are no better than the best one end the search."""
_FINALISTS = 3
_FINAL_SECONDS = 1.0
"""For the turns of the finalists, of which there are three rounds at least, and at most this part of a budget:"""
_FINAL_PART = 0.25
_WORTH = 0.97
"""The analytic choice stays unless another one takes less than this part of its time, side by side."""
_FACTS = (
    "name", "arch", "schedule", "units", "lanes", "vector_bytes", "dot_vector_bytes", "l1_bytes", "l2_bytes", "local_bytes",
    "private_bytes", "max_threads",
)  # fmt: skip

Watch = Callable[[str, int, int], None]
_session: ContextVar[tuple[Watch, Child] | None] = ContextVar("portkernel_tune_session", default=None)


@contextmanager
def watching(report: Watch) -> Iterator[None]:
    """Call ``report(kernel, tried, candidates)`` for every candidate that is measured inside the ``with`` block.

    One process measures all of them, where otherwise each launch starts its own. Choices that ship with the package are
    measured too: who asks for this one machine's wants no other's.
    """
    with Child(_MODULE) as child:
        token = _session.set((report, child))
        try:
            yield
        finally:
            _session.reset(token)


@contextmanager
def _measuring() -> Iterator[tuple[Watch, Child]]:
    """Who is told, and the process that measures."""
    session = _session.get()
    if session is not None:
        yield session
        return
    with Child(_MODULE) as child:
        yield (lambda kernel, tried, candidates: None), child


def choose(request: Request) -> Candidate | None:
    """The stored choice for ``request``, after measuring where the settings ask for it; None if there is none."""
    seconds = request.settings.tune_seconds
    store = stored(request.settings.tune_dir)
    key, facts = _identity(request)
    known = store.get(key) if _session.get() is None else store.own(key)
    enough = known is not None and (known.finished or (seconds is not None and known.spent >= seconds))
    if not enough and seconds != 0:
        if all(can_carry(ref) for ref in request.typed.refs.values()):
            with _measuring() as (report, child):
                known = _Search(request, key, facts, store, known, child, report).run(seconds)
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

    The kernel's IR stands for its text, its constants, and the dtypes and strides of its arguments. A device's name does
    not tell what its cores are (that of a PoCL device is its vendor's), so the target is part of it.
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
        "target": _described(request.target),
        "compiler": f"{device.compiler} {device.driver}".strip(),
        "space": str(VERSION),
        "ir": digest.hexdigest()[:16],
    }
    key = hashlib.sha256("\n".join(f"{k}={v}" for k, v in facts.items()).encode()).hexdigest()[:24]
    return f"{request.kernel.name}-{key}", facts


def _described(target: Target) -> str:
    """What the compiler and the analytic model know of a device."""
    facts = [f"{name} {value}" for name in _FACTS if (value := getattr(target, name))]
    sets = (("features", target.features), ("native", target.native), ("absent", target.absent))
    return ", ".join(facts + [f"{name} {' '.join(sorted(found))}" for name, found in sets if found])


@dataclass(slots=True)
class _Search:
    request: Request
    key: str
    facts: dict[str, str]
    store: Store
    known: Choice | None
    child: Child
    report: Watch

    def run(self, seconds: float | None) -> Choice:
        """Measure for ``seconds`` (None: as long as it helps); what was measured is stored in any case."""
        begin = time.monotonic()
        trials = list(self.known.trials) if self.known is not None else []
        dropped = self.known.tried - len(trials) if self.known is not None else 0  # what ships keeps two trials
        spent = self.known.spent if self.known is not None else 0.0
        final = _FINAL_SECONDS if seconds is None else min(_FINAL_SECONDS, _FINAL_PART * seconds)
        finished, over = False, False
        try:
            with tempfile.TemporaryDirectory(prefix="portkernel-tune-") as folder:
                args = [pack(name, self._value(name), Path(folder)) for name in self.request.typed.types]
                queue = self._candidates()
                first = self._measure(queue[0], args, folder, None, first=True)  # writes what the others must compute
                trials = trials or [first]
                self._report(queue, trials)
                while first.seconds is not None and (trial := _next(queue, trials)) is not None:
                    over = seconds is not None and spent + time.monotonic() - begin >= seconds - final
                    if over:
                        break
                    trials.append(self._measure(trial, args, folder, _best(trials)))
                    self._report(queue, trials)
                finished = not over and (first.seconds is not None or trials == [first])
                trials = self._final(trials, args, folder, final)
        finally:
            if trials:
                total = spent + time.monotonic() - begin
                total = max(total, seconds) if seconds is not None and over else total
                tried = dropped + len(trials)
                made = Choice(self.key, self.facts, tuple(trials), _chosen(trials), round(total, 3), finished, tried)
                self.store.put(made)
        return made

    def _report(self, queue: list[Trial], trials: list[Trial]) -> None:
        left = min(len(_untried(queue, trials)), max(0, _PATIENCE - _waited(trials)))
        self.report(self.request.kernel.name, len(trials), len(trials) + left)

    def _value(self, name: str) -> Any:
        typed = self.request.typed
        return typed.refs[name] if name in typed.refs else typed.values[name]

    def _candidates(self) -> list[Trial]:
        """Each configuration as the model would have it, then what lies around them, the nearest first."""
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
            job = self._job([trial], args, folder) | {"best": best, "first": first}
        except PortkernelError as e:  # sizes that this kernel or device does not take
            return replace(trial, seconds=None, reason=e.message)
        limit = self.request.settings.compile_timeout
        try:
            answer, _ = self.child.run(job, limit)
        except Crashed as e:
            return replace(trial, seconds=None, reason=f"the process {e.what}")
        reason = str(answer.get("failed") or answer.get("reason") or "")
        return replace(trial, seconds=None if reason else float(answer["seconds"][0]), reason=reason)

    def _job(self, trials: list[Trial], args: list[dict[str, object]], folder: str) -> dict[str, object]:
        """What the child needs to know of ``trials``."""
        request = self.request
        own = request.driver.target(request.device)
        return {
            "folder": folder,
            "args": args,
            "scalars": {name: request.typed.types[name].dtype.name for name in request.typed.values},
            "backend": request.driver.name,
            "device": identify(request.device).wanted,
            "schedule": "" if own.schedule == request.target.schedule else request.target.schedule,
            "candidates": [self._text(trial) for trial in trials],
        }

    def _text(self, trial: Trial) -> dict[str, object]:
        request = self.request
        candidate = _candidate(request, trial)
        func = lower(request.kernel, request.typed.types, candidate.constants, request.settings)
        grid = request.grid(dict(candidate.constants)) if callable(request.grid) else request.grid
        return {
            "kernel": func.name,
            "ir": print_func(replace(func, constants=())),
            "outputs": sorted(outputs(func)),
            "options": candidate.options.given(),
            "grid": grid_of(grid, request.kernel.name, request.target.max_grid),
        }

    def _final(self, trials: list[Trial], args: list[dict[str, object]], folder: str, seconds: float) -> list[Trial]:
        """The best few and the analytic choice once more in one process, in turns, as the bench compares."""
        order = sorted((t.seconds, i) for i, t in enumerate(trials) if t.seconds is not None)
        again = sorted({i for _, i in order[:_FINALISTS]} | {0})
        if trials[0].seconds is None or len(again) == 1:
            return trials
        job = self._job([trials[i] for i in again], args, folder) | {"seconds": seconds}
        try:
            answer, _ = self.child.run(job, self.request.settings.compile_timeout)
        except Crashed as e:
            answer = {"failed": f"the process {e.what}"}
        if "seconds" not in answer:
            _log.warning("tune: %s: the finalists were not compared: %s", self.facts["kernel"], answer.get("failed"))
            return trials
        typical = dict(zip(again, answer["seconds"], strict=True))
        return [replace(trial, typical=typical.get(i)) for i, trial in enumerate(trials)]


def _best(trials: list[Trial]) -> float | None:
    return min((t.seconds for t in trials if t.seconds is not None), default=None)


def _leader(trials: list[Trial]) -> int:
    """The place of the shortest run; the first where nothing ran."""
    return min(((t.seconds, i) for i, t in enumerate(trials) if t.seconds is not None), default=(0.0, 0))[1]


def _waited(trials: list[Trial]) -> int:
    """How many were tried since the best one."""
    return len(trials) - 1 - _leader(trials)


def _untried(queue: list[Trial], trials: list[Trial]) -> list[Trial]:
    done = {(t.config, tuple(t.sizes.items())) for t in trials}
    return [t for t in queue if (t.config, tuple(t.sizes.items())) not in done]


def _next(queue: list[Trial], trials: list[Trial]) -> Trial | None:
    """What to try next: the first of each configuration, then what is nearest to the best one; None when it is enough."""
    left = _untried(queue, trials)
    seen = {t.config for t in trials}
    fresh = next((t for t in left if t.config not in seen), None)
    if fresh is not None or not left or _waited(trials) >= _PATIENCE:
        return fresh
    best = trials[_leader(trials)]
    near = [t for t in left if t.config == best.config]
    return min(near, key=lambda t: distance(t.sizes, best.sizes)) if near else left[0]


def _chosen(trials: list[Trial]) -> int:
    """The best of the finalists, or where none were compared of all; the analytic choice unless another is clearly better."""
    times = [t.typical for t in trials]
    if times[0] is None:
        times = [t.seconds for t in trials]
    timed = [(seconds, i) for i, seconds in enumerate(times) if seconds is not None]
    if not timed:
        return 0
    seconds, place = min(timed)
    return place if times[0] is None or seconds < _WORTH * times[0] else 0
