"""Compiled kernels on disk: content-addressed, shared by many processes, trusted by nobody.

An entry is ``<key>.json`` beside ``<key>.bin``. The key is the hash of all that the compiler saw; the JSON holds the
hash of the binary, so that a torn, stale or foreign entry is found out when it is read, and compiled anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger("portkernel")
_FORMAT = 1
_SUFFIXES = (".json", ".bin")
_UNFINISHED = ".writing-"


@dataclass(frozen=True, slots=True)
class Entry:
    """A compiled kernel as the cache holds it."""

    data: bytes
    log: str
    facts: dict[str, str]


def key_of(*parts: str) -> str:
    """sha256 over ``parts``, each with its length, so that no two lists of parts collide."""
    digest = hashlib.sha256(f"portkernel {_FORMAT}".encode())
    for part in parts:
        raw = part.encode()
        digest.update(f"|{len(raw)}:".encode() + raw)
    return digest.hexdigest()


def is_private(folder: Path) -> bool:
    """Whether nobody but the owner (and root) may write to ``folder``. True where the system has no such notion."""
    if os.name != "posix":
        return True
    facts = folder.stat()
    return facts.st_uid in (os.getuid(), 0) and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that no reader sees a part of it. Raises OSError, and then leaves nothing behind."""
    import tempfile  # which a process that finds everything does not need

    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=_UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data)
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class DiskCache:
    """The cache in one folder. Every failure to read or write it is a miss, never an error of a launch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._usable: bool | None = None

    def usable(self) -> bool:
        """Create the folder, mode 0700, and refuse one that others may write to (once, with a warning)."""
        if self._usable is None:
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._usable = is_private(self.folder)
                if not self._usable:
                    _log.warning("cache: %s is writable by others and is not used; set its mode to 0700", self.folder)
            except OSError as e:
                _log.warning("cache: %s cannot be used: %s", self.folder, e)
                self._usable = False
        return self._usable

    def get(self, key: str) -> Entry | None:
        """The entry under ``key``, or None if there is none that holds what it says."""
        if not self.usable():
            return None
        try:
            facts = json.loads((self.folder / f"{key}.json").read_text(encoding="utf-8"))
            data = (self.folder / f"{key}.bin").read_bytes()
            if facts["format"] != _FORMAT or facts["key"] != key:
                return None
            if facts["sha256"] != hashlib.sha256(data).hexdigest():
                _log.warning("cache: entry %s is damaged and is compiled anew", key[:12])
                return None
            return Entry(data, str(facts["log"]), {str(k): str(v) for k, v in facts["facts"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, key: str, entry: Entry) -> None:
        """Write the binary, then the JSON that vouches for it; each appears whole or not at all."""
        if not self.usable():
            return
        facts = {
            "format": _FORMAT,
            "key": key,
            "sha256": hashlib.sha256(entry.data).hexdigest(),
            "log": entry.log,
            "facts": entry.facts,
        }
        try:
            write_whole(self.folder / f"{key}.bin", entry.data)
            write_whole(self.folder / f"{key}.json", json.dumps(facts, sort_keys=True).encode())
        except OSError as e:
            _log.warning("cache: %s cannot be written: %s", self.folder, e)

    def keys(self) -> list[str]:
        """Every key that has a JSON file, sorted."""
        return sorted(p.stem for p in self.folder.glob("*.json")) if self.folder.is_dir() else []

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(p.stat().st_size for p in self._files())

    def verify(self) -> list[str]:
        """The keys whose entries are damaged."""
        return [key for key in self.keys() if self.get(key) is None]

    def clear(self) -> int:
        """Remove every entry; returns how many files went."""
        files = self._files()
        for path in files:
            path.unlink(missing_ok=True)
        return len(files)

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [p for p in self.folder.iterdir() if p.suffix in _SUFFIXES or p.name.startswith(_UNFINISHED)]


_caches: dict[Path, DiskCache] = {}


def at(folder: Path | None) -> DiskCache | None:
    """The cache of compiled kernels below ``folder`` (``config.cache_dir``), or None if that is None."""
    if folder is None:
        return None
    found = _caches.get(folder)
    if found is None:
        found = _caches.setdefault(folder, DiskCache(folder / "kernels"))
    return found
