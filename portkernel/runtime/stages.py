"""Stage dumps to a folder, and overrides from one: ``PORTKERNEL_DUMP`` and ``PORTKERNEL_OVERRIDE``."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from .. import config
from ..backends import Source
from ..errors import LaunchError
from ..ir import Func, print_func

_log = logging.getLogger("portkernel")
_SUFFIXES = {"numpy": ".ir", "opencl": ".cl", "cuda": ".cu", "triton": ".py"}
EMITTED = "emitted"


class Stages:
    """The stages of one kernel, numbered as they come: ``<folder>/<kernel>/<nn>-<stage>.<ext>``."""

    def __init__(self, kernel: str, settings: config.Config) -> None:
        self.kernel = kernel
        self.settings = settings
        self.count = 0

    def ir(self, stage: str, func: Func) -> None:
        """Dump an IR stage."""
        name = self._next(stage, ".ir")
        if self.settings.dump_dir is not None:
            self._write(self.settings.dump_dir, name, print_func(func))

    def text(self, source: Source) -> Source:
        """Dump the emitted text, after an override has taken its place if there is one."""
        name = self._next(EMITTED, _SUFFIXES.get(source.backend, source.suffix))
        if self.settings.override_dir is not None:
            place = self.settings.override_dir / self.kernel / name
            if place.is_file():
                _log.warning("%s: stage %s is taken from %s", self.kernel, name, place)
                source = replace(source, text=place.read_text(encoding="utf-8"))
        if self.settings.dump_dir is not None:
            self._write(self.settings.dump_dir, name, source.text)
        return source

    def _next(self, stage: str, suffix: str) -> str:
        name = f"{self.count:02}-{stage}{suffix}"
        self.count += 1
        return name

    def _write(self, folder: Path, name: str, text: str) -> None:
        place = folder / self.kernel
        try:
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text, encoding="utf-8")
        except OSError as e:
            raise LaunchError(f"PORTKERNEL_DUMP: expected a folder that can be written, got {folder}: {e}") from None
