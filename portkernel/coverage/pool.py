"""Worker processes: a crash or a hang of one step costs that step."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from .. import backends
from ..runtime.isolate import Child, Crashed
from .model import Outcome, Step
from .places import Found
from .protocol import decode_found, decode_outcome, encode_step
from .states import State

WORKER_MODULE = "portkernel.coverage.worker"
IN_PROCESS: Mapping[str, str] = {"PORTKERNEL_ISOLATE": "0"}
"""A worker is a process that may crash: compilers need none of their own in it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Steps that one worker performs one after the other, sharing their data. ``alone``: by a process of its own."""

    steps: tuple[Step, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(IN_PROCESS))
    alone: bool = False


def _perform(child: Child, step: Step, seconds: float) -> Outcome:
    """The outcome of ``step``; a dead or silent child is a wrong cell."""
    try:
        answer, _ = child.run(encode_step(step), seconds)
    except Crashed as e:
        return Outcome(State.WRONG, f"the worker process {e.what}" + (f": {e.last_line}" if e.last_line else ""))
    return Outcome(State.WRONG, str(answer["failed"])) if answer.get("failed") else decode_outcome(answer)


class Pool:
    """``workers`` threads, each with a child process, that take batches until none is left."""

    def __init__(self, batches: Sequence[Batch], workers: int, seconds: float, until: float = math.inf) -> None:
        """``until`` is a time of ``time.perf_counter`` after which no further batch is begun."""
        self._seconds, self._until = seconds, until
        self._waiting: SimpleQueue[Batch] = SimpleQueue()
        self._finished: SimpleQueue[tuple[Step, Outcome] | None] = SimpleQueue()
        self._stop = threading.Event()
        self._alive: list[Child] = []
        for batch in batches:
            self._waiting.put(batch)
        count = min(workers, len(batches))
        self._threads = [threading.Thread(target=self._drain, daemon=True) for _ in range(count)]

    def run(self, done: Callable[[Step, Outcome], None]) -> None:
        """Perform what there is time for; ``done`` is called in the caller's thread. An exception there, Ctrl-C too, ends
        the workers."""
        try:
            for thread in self._threads:
                thread.start()
            ended = 0
            while ended < len(self._threads):
                answer = self._finished.get()
                if answer is None:
                    ended += 1
                else:
                    done(*answer)
        except BaseException:
            self._stop.set()
            while alive := [thread for thread in self._threads if thread.is_alive()]:
                for child in list(self._alive):
                    child.kill()  # again and again: one may have been starting
                alive[0].join(0.05)
            raise

    def _drain(self) -> None:
        try:
            self._take_batches()
        finally:
            self._finished.put(None)

    def _take_batches(self) -> None:
        child: Child | None = None
        while not self._stop.is_set() and time.perf_counter() < self._until:
            try:
                batch = self._waiting.get_nowait()
            except Empty:
                break
            if child is not None and (batch.alone or child.variables != dict(batch.environment)):
                self._end(child)
                child = None
            if child is None:
                child = Child(WORKER_MODULE, batch.environment)
                self._alive.append(child)
            for step in batch.steps:
                if not self._stop.is_set():
                    start = time.perf_counter()
                    outcome = self._outcome(child, step)
                    self._finished.put((step, replace(outcome, took=time.perf_counter() - start)))
            if batch.alone:
                self._end(child)
                child = None
        if child is not None:
            self._end(child)

    def _outcome(self, child: Child, step: Step) -> Outcome:
        try:
            return _perform(child, step, self._seconds)
        except Exception as error:  # else the caller would wait for this step for ever
            return Outcome(State.WRONG, f"{type(error).__name__}: {error}")

    def _end(self, child: Child) -> None:
        self._alive.remove(child)
        child.stop()


def ask(seconds: float = 60.0) -> dict[str, Found]:
    """What each backend has here, asked in a child process: a broken driver must not take us with it."""
    try:
        with Child(WORKER_MODULE) as child:
            answer, _ = child.run({"look": backends.names()}, seconds)
        return decode_found(answer["found"])
    except (Crashed, KeyError) as error:
        return {name: Found(error=f"looking for devices failed: {error}") for name in backends.names()}
