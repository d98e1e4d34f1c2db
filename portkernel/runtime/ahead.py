"""Compilations begun before anybody waits for them, several at a time, each in a child process of its own."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from . import isolate
from .cache import Entry

_MOST = 4
"""Children at a time: each holds a compiler, some hundred megabytes."""


@dataclass(frozen=True, slots=True)
class _Job:
    job: Mapping[str, object]
    seconds: float
    result: Future[Entry]


class Ahead:
    """Jobs by a key, and the threads that hand them to children. Threads and children end with the last job."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()
        atexit.register(self._close)
        os.register_at_fork(after_in_child=self._forked)

    def _clear(self) -> None:
        self._begun: dict[str, Future[Entry]] = {}
        self._waiting: deque[_Job] = deque()
        self._children: list[isolate.Child] = []

    def _forked(self) -> None:
        self._lock = threading.Lock()  # the parent's threads and children are not here
        self._clear()

    def begin(self, key: str, job: Mapping[str, object], seconds: float) -> None:
        """Compile ``job`` as soon as a child is free, unless that of ``key`` is begun already."""
        with self._lock:
            if key in self._begun:
                return
            made = self._begun[key] = Future()
            self._waiting.append(_Job(job, seconds, made))
            if len(self._children) < min(_MOST, len(os.sched_getaffinity(0))):
                child = isolate.Child()
                self._children.append(child)
                threading.Thread(target=self._work, args=(child,), name="portkernel-compile", daemon=True).start()

    def take(self, key: str) -> Future[Entry] | None:
        """What was begun under ``key``, once: its result raises as :func:`.isolate.run` does."""
        with self._lock:
            return self._begun.pop(key, None)

    def _work(self, child: isolate.Child) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._children.remove(child)
                    break
                at = self._waiting.popleft()
            try:
                at.result.set_result(isolate.run(at.job, at.seconds, child))
            except BaseException as error:
                at.result.set_exception(error)
        child.stop()

    def _close(self) -> None:
        with self._lock:
            self._waiting.clear()
            children = list(self._children)
        for child in children:
            child.kill()


AHEAD = Ahead()
