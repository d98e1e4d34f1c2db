"""Worker processes: a crash or a hang of one step costs that step."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import IO

from .model import Outcome, Step
from .places import ROUTES, Found
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


class Worker:
    """One child process that performs steps under one environment."""

    def __init__(self, environment: Mapping[str, str], seconds: float) -> None:
        self.environment = dict(environment)
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[str] | None = None
        self._late = False

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # lives as long as the child
            self._process = subprocess.Popen(
                [sys.executable, "-m", WORKER_MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env={**os.environ, **self.environment},
                start_new_session=True,  # Ctrl-C is for the coordinator, which then ends its workers
            )
        return self._process

    def perform(self, step: Step) -> Outcome:
        """Send ``step`` and wait for its outcome; a dead or silent child is a wrong cell."""
        process = self._start()
        assert process.stdin is not None and process.stdout is not None
        self._late = False
        timer = threading.Timer(self._seconds, self._expire)
        timer.start()
        try:
            process.stdin.write(encode_step(step) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:
            answer = ""
        finally:
            timer.cancel()
        if answer.endswith("\n"):
            return decode_outcome(answer)
        return Outcome(State.WRONG, self._post_mortem())

    def _expire(self) -> None:
        self._late = True
        self.kill()

    def kill(self) -> None:
        """End the child at once, whatever it does."""
        process = self._process
        if process is not None:
            process.kill()

    def _post_mortem(self) -> str:
        assert self._process is not None and self._log is not None
        code = self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().splitlines() if line.strip()]
        self.close()
        if self._late:
            return f"no answer within {self._seconds:g} s"
        said = f": {lines[-1][:160]}" if lines else ""
        return f"the worker process ended with {f'signal {-code}' if code < 0 else f'status {code}'}{said}"

    def close(self) -> None:
        """End the child. A later step starts another."""
        process, self._process = self._process, None
        if process is not None:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None


class Pool:
    """``workers`` threads, each with a child process, that take batches until none is left."""

    def __init__(self, batches: Sequence[Batch], workers: int, seconds: float, until: float = math.inf) -> None:
        """``until`` is a time of ``time.perf_counter`` after which no further batch is begun."""
        self._seconds, self._until = seconds, until
        self._waiting: SimpleQueue[Batch] = SimpleQueue()
        self._finished: SimpleQueue[tuple[Step, Outcome] | None] = SimpleQueue()
        self._stop = threading.Event()
        self._alive: list[Worker] = []
        for batch in batches:
            self._waiting.put(batch)
        count = min(workers, len(batches))
        self._threads = [threading.Thread(target=self._drain, daemon=True) for _ in range(count)]

    def run(self, done: Callable[[Step, Outcome], None]) -> None:
        """Perform what there is time for; ``done`` is called in the caller's thread. An exception there, Ctrl-C too, ends
        the workers."""
        for thread in self._threads:
            thread.start()
        try:
            ended = 0
            while ended < len(self._threads):
                answer = self._finished.get()
                if answer is None:
                    ended += 1
                else:
                    done(*answer)
        except BaseException:
            self._stop.set()
            for worker in list(self._alive):
                worker.kill()
            raise
        finally:
            for thread in self._threads:
                thread.join(timeout=self._seconds + 5)

    def _drain(self) -> None:
        try:
            self._take_batches()
        finally:
            self._finished.put(None)

    def _take_batches(self) -> None:
        worker: Worker | None = None
        while not self._stop.is_set() and time.perf_counter() < self._until:
            try:
                batch = self._waiting.get_nowait()
            except Empty:
                break
            if worker is not None and (batch.alone or worker.environment != dict(batch.environment)):
                self._end(worker)
                worker = None
            if worker is None:
                worker = Worker(batch.environment, self._seconds)
                self._alive.append(worker)
            for step in batch.steps:
                if not self._stop.is_set():
                    self._perform(worker, step)
            if batch.alone:
                self._end(worker)
                worker = None
        if worker is not None:
            self._end(worker)

    def _perform(self, worker: Worker, step: Step) -> None:
        start = time.perf_counter()
        try:
            outcome = worker.perform(step)
        except Exception as error:  # else the caller would wait for this step for ever
            outcome = Outcome(State.WRONG, f"{type(error).__name__}: {error}")
        self._finished.put((step, replace(outcome, took=time.perf_counter() - start)))

    def _end(self, worker: Worker) -> None:
        self._alive.remove(worker)
        worker.close()


def ask(seconds: float = 60.0) -> dict[str, Found]:
    """What each backend has here, asked in a child process: a broken driver must not take us with it."""
    command = [sys.executable, "-m", WORKER_MODULE, "devices"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True).stdout
        return decode_found(answer.strip().splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        return {r.backend: Found(error=f"looking for devices failed: {error}") for r in ROUTES}
