"""Child processes, so that a compiler or a kernel that aborts or hangs takes nothing of the user's with it.

One child serves all compilations of this process, one after the other; the tuner, the bench and the coverage report have
children of their own. They speak over pipes: four bytes of length, then JSON; a binary follows its header as raw bytes. The
other side is :func:`.worker.serve`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from .cache import Entry

HEADER = struct.Struct("<I")
_START_SECONDS = 60.0
_ROOT = str(Path(__file__).resolve().parents[2])
_START = "import sys; sys.path.insert(0, {root!r}); from {module} import main; main()"


class Crashed(Exception):
    """The child died or did not answer in time. ``what`` completes the sentence "the compiler …", ``log`` is what it said."""

    def __init__(self, what: str, log: str) -> None:
        super().__init__(what)
        self.what = what
        self.log = log

    @property
    def last_line(self) -> str:
        """The last line of the log, shortened; empty where the child said nothing."""
        return next((line.strip()[:160] for line in reversed(self.log.splitlines()) if line.strip()), "")


def is_possible() -> bool:
    """Whether this Python can start another."""
    return bool(sys.executable) and os.name == "posix"


def write_message(stream: IO[bytes], header: Mapping[str, object], data: bytes = b"") -> None:
    """Send ``header``, which may have no key ``size``, and ``data``."""
    raw = json.dumps({**header, "size": len(data)}).encode()
    stream.write(HEADER.pack(len(raw)) + raw + data)
    stream.flush()


class Worker:
    """A child process that runs ``main()`` of ``module``, under ``variables``, and answers jobs."""

    def __init__(self, module: str, variables: Mapping[str, str]) -> None:
        self.owner = os.getpid()
        self.noise = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the child lives
        start = _START.format(root=_ROOT, module=module)
        self.process = subprocess.Popen(
            [sys.executable, "-c", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.noise,
            env={**os.environ, **variables},
            start_new_session=True,  # Ctrl-C is for this process, which then ends the child
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.to, self.answers = self.process.stdin, self.process.stdout
        self.started = False
        """Whether the child has said that its imports are done."""

    def run(self, job: Mapping[str, object], seconds: float) -> tuple[dict[str, Any], bytes]:
        """The answer to ``job``, in ``seconds`` from when the child has started."""
        did, limit = "start", _START_SECONDS
        try:
            if not self.started:
                self._message(limit)
                self.started = True
            did, limit = "finish", seconds
            write_message(self.to, job)
            return self._message(limit)
        except TimeoutError:
            self.stop()
            raise Crashed(f"did not {did} within {limit:g} s", self._said()) from None
        except (EOFError, BrokenPipeError):
            raise Crashed(self._end(), self._said()) from None

    def _message(self, seconds: float) -> tuple[dict[str, Any], bytes]:
        deadline = time.monotonic() + seconds
        (size,) = HEADER.unpack(self._read(HEADER.size, deadline))
        header = json.loads(self._read(size, deadline))
        return header, self._read(header.pop("size"), deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        handle = self.answers.fileno()
        while size:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([handle], [], [], left)[0]:
                raise TimeoutError
            part = os.read(handle, min(size, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _end(self) -> str:
        code = self.process.wait()
        if code >= 0:
            return f"ended with status {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def _said(self) -> str:
        self.noise.seek(0)
        return self.noise.read()[-10000:].decode(errors="replace")

    def stop(self) -> None:
        if os.getpid() == self.owner:
            self.process.kill()
            self.process.wait()
            for stream in (self.to, self.answers):
                with contextlib.suppress(BrokenPipeError):  # what the child never read
                    stream.close()


class Child:
    """A worker that is started when it is first needed, and anew after it died. For any thread."""

    def __init__(self, module: str = "portkernel.runtime.worker", variables: Mapping[str, str] = MappingProxyType({})):
        self.module, self.variables = module, dict(variables)
        self.lock = threading.Lock()
        self.worker: Worker | None = None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, job: Mapping[str, object], seconds: float) -> tuple[dict[str, Any], bytes]:
        """The answer to ``job``, and the bytes that came with it. Raises :class:`Crashed`."""
        with self.lock:
            worker = self.worker
            if worker is None or worker.owner != os.getpid() or worker.process.poll() is not None:
                worker = self.worker = Worker(self.module, self.variables)
            try:
                return worker.run(job, seconds)
            except BaseException:  # also an interrupt in mid-answer: the next job must not read the rest of it
                worker.stop()
                self.worker = None
                raise

    def kill(self) -> None:
        """End the process at once, from another thread: a job under way raises :class:`Crashed`."""
        worker = self.worker
        if worker is not None:
            worker.process.kill()

    def stop(self) -> None:
        """End the process between two jobs."""
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.stop()


_child = Child()
atexit.register(_child.stop)


def run(job: Mapping[str, object], seconds: float, child: Child = _child) -> Entry:
    """What ``child`` made of ``job``. Raises :class:`Crashed`, and ``compilation.Refused`` with the compiler's log."""
    from .compilation import Refused

    header, data = child.run(job, seconds)
    if header.get("refused"):
        raise Refused(header["log"])
    if header.get("failed"):
        raise Crashed(f"could not be run: {header['failed']}", header.get("log", ""))
    return Entry(data, header["log"], header["facts"])
