"""Worker processes: a crash or a hang of one step costs that step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import IO

from .model import Outcome, State, Step
from .plan import ROUTES
from .protocol import decode_outcome, encode_step

WORKER_MODULE = "portkernel.coverage.worker"


class Worker:
    """One child process that performs steps, one after the other, under one environment."""

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
            )
        return self._process

    def perform(self, step: Step) -> Outcome:
        """Send ``step`` and wait for its outcome; a dead or silent child is a failed step."""
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
        return Outcome(State.FAILED, where=step.label, reason=self._post_mortem())

    def _expire(self) -> None:
        self._late = True
        if self._process is not None:
            self._process.kill()

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


def perform_all(
    steps: Sequence[tuple[Step, Mapping[str, str]]],
    workers: int,
    seconds: float,
    done: Callable[[Step, Outcome], None],
) -> None:
    """Perform every step in ``workers`` processes at a time; ``done`` is called in the caller's thread.

    Each step comes with its environment. A thread keeps its worker while the environment stays the same.
    """
    waiting: SimpleQueue[tuple[Step, Mapping[str, str]]] = SimpleQueue()
    finished: SimpleQueue[tuple[Step, Outcome]] = SimpleQueue()
    stop = threading.Event()
    for item in steps:
        waiting.put(item)

    def drain() -> None:
        worker: Worker | None = None
        while not stop.is_set():
            try:
                step, environment = waiting.get_nowait()
            except Empty:
                break
            if worker is not None and worker.environment != dict(environment):
                worker.close()
                worker = None
            worker = worker or Worker(environment, seconds)
            start = time.perf_counter()
            try:
                outcome = worker.perform(step)
            except Exception as error:  # else the caller would wait for this step for ever
                outcome = Outcome(State.FAILED, where=step.label, reason=f"{type(error).__name__}: {error}")
            finished.put((step, replace(outcome, took=time.perf_counter() - start)))
        if worker is not None:
            worker.close()

    threads = [threading.Thread(target=drain, daemon=True) for _ in range(min(workers, len(steps)))]
    for thread in threads:
        thread.start()
    try:
        for _ in steps:
            done(*finished.get())
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=seconds + 5)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a backend's driver found: the names of its devices, or why there are none and what to do."""

    devices: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    interpreters: tuple[str, ...] = ()


def ask(seconds: float = 60.0) -> dict[str, Probe]:
    """The devices of each backend, asked in a child process: a broken driver must not take us with it."""
    command = [sys.executable, "-m", WORKER_MODULE, "devices"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True).stdout
        found = json.loads(answer.strip().splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        return {r.backend: Probe(error=f"looking for devices failed: {error}") for r in ROUTES}
    return {
        name: Probe(tuple(p["devices"]), p["error"], p["hint"], tuple(p["interpreters"])) for name, p in found.items()
    }
