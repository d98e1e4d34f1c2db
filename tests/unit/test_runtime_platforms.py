"""Where Intel's runtime is looked for."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from portkernel.runtime import platforms


class File:
    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name

    def locate(self) -> Path:
        return self.path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of libraries that belongs to no environment of Python's."""
    for name in ("prefix", "exec_prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, str(tmp_path / "environment"))
    library = tmp_path / "user" / "lib" / "libintelocl.so"
    library.parent.mkdir(parents=True)
    library.touch()
    return library


def test_the_environment_comes_first(elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "environment" / "lib" / "libintelocl.so"
    own.parent.mkdir(parents=True)
    own.touch()
    monkeypatch.setattr(metadata, "files", lambda name: [File(elsewhere)])
    assert platforms._find_intel() == own


def test_a_wheel_outside_of_the_environment_is_found(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = elsewhere.with_name("gone") / elsewhere.name
    monkeypatch.setattr(
        metadata, "files", lambda name: [File(elsewhere.with_name("RECORD")), File(gone), File(elsewhere)]
    )
    assert platforms._find_intel() == elsewhere


def test_no_wheel_is_no_runtime(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", files)
    assert platforms._find_intel() is None
