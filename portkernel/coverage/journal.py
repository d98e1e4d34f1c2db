"""What a run has found so far, on disk: Ctrl-C or a power cut loses at most the step in progress."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from ..errors import SettingError
from .model import Outcome, Step
from .protocol import decode_outcome, encode_outcome
from .provenance import code


class Journal:
    """A file of JSON lines: first the hash of our code, then one line for each step that was performed."""

    def __init__(self, path: Path, resume: bool) -> None:
        """With ``resume`` what the file holds counts as done; otherwise it starts empty.

        Raises :class:`~portkernel.errors.SettingError` where there is nothing to resume, or another code wrote it.
        """
        self.path = path
        self.done: Mapping[str, tuple[Outcome, str]] = self._read() if resume else {}
        """Outcome and date of each step that was performed, by :attr:`.model.Step.key`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("a" if resume else "w", encoding="utf-8")
        if not resume:
            self._write({"code": code()})

    def _read(self) -> dict[str, tuple[Outcome, str]]:
        if not self.path.is_file():
            raise SettingError(f"--resume: expected an interrupted run, found none at {self.path}")
        head, *lines = self.path.read_text(encoding="utf-8").splitlines() or [""]
        if not head or json.loads(head).get("code") != code():
            raise SettingError(
                "--resume: expected the code that the interrupted run measured, got another",
                hint="start anew without --resume",
            )
        found: dict[str, tuple[Outcome, str]] = {}
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:  # the line that was being written
                continue
            found[entry["step"]] = decode_outcome(json.dumps(entry["outcome"])), entry["date"]
        return found

    def note(self, step: Step, outcome: Outcome, date: str) -> None:
        """Append one outcome."""
        self._write({"step": step.key, "date": date, "outcome": json.loads(encode_outcome(outcome))})

    def _write(self, entry: Mapping[str, object]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self, complete: bool) -> None:
        """Close the file; nothing is left to resume after a complete run."""
        self._file.close()
        if complete:
            self.path.unlink(missing_ok=True)
