"""The disk cache trusts nothing that it did not write whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from portkernel.runtime.cache import DiskCache, Entry, key_of

KEY = key_of("text", "compiler")
ENTRY = Entry(b"\x00binary\xff" * 100, "a log", {"device": "d"})


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    made = DiskCache(tmp_path / "kernels")
    made.put(KEY, ENTRY)
    return made


def test_round_trip(cache):
    assert cache.get(KEY) == ENTRY
    assert cache.get(key_of("other")) is None
    assert cache.keys() == [KEY] and cache.verify() == []
    assert cache.size() > len(ENTRY.data)


def test_keys_depend_on_where_parts_end():
    assert key_of("ab", "c") != key_of("a", "bc") != key_of("abc")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_folder_is_private(cache):
    assert cache.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_folder_that_others_may_write_to_is_refused(cache, caplog):
    cache.folder.chmod(0o777)
    again = DiskCache(cache.folder)
    assert again.get(KEY) is None
    assert "writable by others" in caplog.text
    again.put(key_of("new"), ENTRY)
    assert len(list(cache.folder.iterdir())) == 2


@pytest.mark.parametrize("size", [0, 1, 300])
def test_torn_binary(cache, size):
    (cache.folder / f"{KEY}.bin").write_bytes(ENTRY.data[:size])
    assert cache.get(KEY) is None
    assert cache.verify() == [KEY]
    cache.put(KEY, ENTRY)
    assert cache.get(KEY) == ENTRY


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', "\x00\x01"])
def test_torn_or_foreign_facts(cache, text):
    (cache.folder / f"{KEY}.json").write_text(text)
    assert cache.get(KEY) is None


def test_entry_under_another_key(cache):
    other = key_of("other")
    for suffix in (".json", ".bin"):
        (cache.folder / f"{other}{suffix}").write_bytes((cache.folder / f"{KEY}{suffix}").read_bytes())
    assert cache.get(other) is None


def test_entry_of_another_format(cache):
    place = cache.folder / f"{KEY}.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "format": 999}))
    assert cache.get(KEY) is None


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    blocked = DiskCache(tmp_path / "file" / "kernels")
    blocked.put(KEY, ENTRY)
    assert blocked.get(KEY) is None


def test_clear(cache):
    assert cache.clear() == 2
    assert cache.get(KEY) is None and cache.keys() == []


def test_nothing_is_pickled(cache):
    assert {p.suffix for p in cache.folder.iterdir()} == {".json", ".bin"}


def test_many_processes_write_one_entry(tmp_path):
    program = (
        "import sys; from pathlib import Path; from portkernel.runtime.cache import DiskCache, Entry\n"
        "c = DiskCache(Path(sys.argv[1]))\n"
        "for i in range(200):\n"
        "    c.put('k' * 64, Entry(bytes([i]) * 5000, str(i), {}))\n"
        "    got = c.get('k' * 64)\n"
        "    assert got is None or len(set(got.data)) == 1, got\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "c")]) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert not list((tmp_path / "c").glob(".writing-*"))
