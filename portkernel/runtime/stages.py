"""Stage dumps to a folder, and overrides from one: ``PORTKERNEL_DUMP`` and ``PORTKERNEL_OVERRIDE``."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from .. import config
from ..backends import Source
from ..errors import SettingError
from ..ir import Func, parse_func, print_func

_log = logging.getLogger("portkernel")
EMITTED = "emitted"


class Stages:
    """The stages of one kernel, numbered as they come: ``<folder>/<kernel>/<nn>-<stage>.<ext>``."""

    def __init__(self, kernel: str, settings: config.Config) -> None:
        self.kernel = kernel
        self.settings = settings
        self.names: list[str] = []

    def ir(self, stage: str, func: Func) -> Func:
        """Dump an IR stage, after an override has taken its place if there is one.

        Raises :class:`~portkernel.errors.StageError` for an override that is not the IR of this kernel.
        """
        name = self._next(stage, ".ir")
        found = self._override(name)
        if found is not None:
            place, text = found
            func = parse_func(text, func, str(place))
        if self.settings.dump_dir is not None:
            self._write(self.settings.dump_dir, name, print_func(func))
        return func

    def text(self, source: Source) -> Source:
        """Dump the emitted text, the last stage, after an override has taken its place if there is one."""
        name = self._next(EMITTED, source.suffix)
        found = self._override(name)
        if found is not None:
            source = replace(source, text=found[1])
        if self.settings.dump_dir is not None:
            self._write(self.settings.dump_dir, name, source.text)
        self._warn_of_strangers()
        return source

    def _override(self, name: str) -> tuple[Path, str] | None:
        if self.settings.override_dir is None:
            return None
        place = self.settings.override_dir / self.kernel / name
        if not place.is_file():
            return None
        _log.warning("%s: stage %s is taken from %s", self.kernel, name, place)
        return place, place.read_text(encoding="utf-8")

    def _warn_of_strangers(self) -> None:
        """Say which files would be ignored: those of no stage, other than another backend's text."""
        if self.settings.override_dir is None:
            return
        for place in sorted((self.settings.override_dir / self.kernel).glob("*")):
            if place.name not in self.names and not place.stem.endswith(EMITTED):
                _log.warning("%s: %s is not used: the stages are %s", self.kernel, place, ", ".join(self.names))

    def _next(self, stage: str, suffix: str) -> str:
        self.names.append(f"{len(self.names):02}-{stage}{suffix}")
        return self.names[-1]

    def _write(self, folder: Path, name: str, text: str) -> None:
        place = folder / self.kernel
        try:
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text, encoding="utf-8")
        except OSError as e:
            raise SettingError(f"PORTKERNEL_DUMP: expected a folder that can be written, got {folder}: {e}") from None


def stages_of(kernel: str, settings: config.Config) -> Stages | None:
    """The stages of a kernel, or None where nobody asked to see or replace them."""
    return Stages(kernel, settings) if settings.dump_dir is not None or settings.override_dir is not None else None
