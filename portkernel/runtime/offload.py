"""Languages whose text is compiled here by a program on the PATH, and which are launched nowhere yet."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from .. import config
from ..backends import Source
from ..errors import MissingDependencyError, NoDeviceError, UnsupportedOpError
from ..ir import Func
from ..targets import Target
from .arguments import ArrayRef
from .cache import Entry
from .compilation import Refused, obtain
from .driver import Binary, Device, Loaded

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")
_OPEN = re.compile(rb"\b__o(?:cml|ckl)_\w+")
"""Functions of AMD's device library, as a code object names those that it still wants."""


class OffloadDriver(ABC):
    """A driver that compiles. It has no devices, so that nothing is ever launched or claimed to have been."""

    name: ClassVar[str]
    compilers: ClassVar[tuple[str, ...]]
    """Programs that compile the text, the first on the PATH is taken."""
    cure: ClassVar[str]
    """The command that adds a compiler."""
    arch: ClassVar[str]
    """What the architectures of its targets begin with."""
    kind: ClassVar[str]
    instead: ClassVar[str]
    """What to do on a machine that has the device."""

    @abstractmethod
    def command(self, compiler: str, arch: str, text: Path, out: Path) -> list[str]:
        """The command line that compiles ``text`` for ``arch``."""

    def architectures(self, compiler: str) -> frozenset[str]:
        """The architectures that ``compiler`` knows; none where it does not say."""
        return frozenset()

    def devices(self) -> Sequence[Device]:
        return ()

    def device(self, wanted: str | None, like: ArrayRef | None) -> Device:
        raise self._nothing_to_launch_on()

    def target(self, device: Device) -> Target:
        raise self._nothing_to_launch_on()

    def compile(self, source: Source, func: Func, device: Device) -> Loaded:
        raise self._nothing_to_launch_on()

    def _nothing_to_launch_on(self) -> NoDeviceError:
        return NoDeviceError(
            f"{self.name}: no device was found: portkernel emits and compiles {self.name} text, and launches none",
            hint=f"kernel.source() needs no device and kernel.compile() a compiler; {self.instead}",
        )

    def compiler(self) -> str:
        """The path of the compiler. Raises :class:`~portkernel.errors.MissingDependencyError`."""
        for name in self.compilers:
            found = shutil.which(name)
            if found is not None:
                return found
        several = len(self.compilers) > 1
        absent = f"none of {', '.join(self.compilers)} is" if several else f"{self.compilers[0]} is not"
        raise MissingDependencyError(f"{self.name}: {absent} on the PATH", hint=f"{self.cure}; source() needs none")

    def binary(self, source: Source) -> Binary:
        arch = source.target.arch
        if not arch.startswith(self.arch):
            raise UnsupportedOpError(
                f"compile(): target: expected a target with an architecture {self.arch}…, got {source.target.name!r}",
                hint="portkernel targets list names the architectures",
            )
        compiler = self.compiler()
        known = self.architectures(compiler)
        if known and arch not in known:
            raise UnsupportedOpError(
                f"compile(): target: expected an architecture that {Path(compiler).name} has, got {arch!r}",
                hint="the vendor's own compiler may have it: it takes the text of source()",
            )
        facts: dict[str, object] = {"flags": dict(source.options)["flags"], "path": compiler}
        job: dict[str, object] = {
            "compiler": self.name,
            "text": source.text,
            "entry": source.entry,
            "arch": arch,
            **facts,
        }
        said = {**facts, "command": self.command(compiler, arch, Path("text"), Path("kernel"))}
        entry = obtain(source, version(compiler), said, job, lambda: self.compile_job(job), config.get())
        found: dict[str, object] = {"entry": source.entry, **entry.facts, "open": tuple(entry.facts["open"].split())}
        return Binary(self.kind, entry.data, entry.log, found)

    def compile_job(self, job: Mapping[str, Any]) -> Entry:
        """Compile in this process. Raises :class:`.compilation.Refused` with the compiler's log."""
        with tempfile.TemporaryDirectory(prefix="portkernel-") as folder:
            text, out = Path(folder, f"{job['entry']}.{self.name}"), Path(folder, "kernel")
            text.write_text(job["text"], encoding="utf-8")
            command = [*self.command(job["path"], job["arch"], text, out), *job["flags"]]
            limit = config.get().compile_timeout
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
            except subprocess.TimeoutExpired:
                raise Refused(f"error: {Path(command[0]).name} did not finish within {limit:g} seconds") from None
            if done.returncode or not out.exists():
                raise Refused(done.stderr or f"error: {Path(command[0]).name} ended with status {done.returncode}")
            data = out.read_bytes()
        wanted = " ".join(sorted({name.decode() for name in _OPEN.findall(data)}))
        return Entry(data, done.stderr.strip(), {"arch": job["arch"], "compiler": version(job["path"]), "open": wanted})


@cache
def version(compiler: str) -> str:
    """The compiler's name and version, as it says itself."""
    try:
        said = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    found = _VERSION.search(said)
    return f"{Path(compiler).name} {found.group() if found else 'of unknown version'}"
