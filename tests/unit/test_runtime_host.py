"""The caches of the CPU at hand."""

from __future__ import annotations

from pathlib import Path

from portkernel.runtime import host


def cache(folder: Path, index: int, **facts: str) -> None:
    place = folder / f"index{index}"
    place.mkdir()
    for name, text in facts.items():
        (place / name).write_text(f"{text}\n")


def test_a_thread_has_its_part_of_a_cache(tmp_path: Path) -> None:
    cache(tmp_path, 0, level="1", type="Data", size="48K", shared_cpu_list="0,8")
    cache(tmp_path, 1, level="1", type="Instruction", size="64K", shared_cpu_list="0,8")
    cache(tmp_path, 2, level="2", type="Unified", size="4M", shared_cpu_list="0-3")
    cache(tmp_path, 3, level="3", type="Unified", size="32M", shared_cpu_list="0-15")
    assert host.caches(tmp_path) == {"l1_bytes": 24576, "l2_bytes": 1048576}


def test_what_the_system_does_not_tell_is_left_out(tmp_path: Path) -> None:
    assert host.caches(tmp_path / "nothing") == {}
    cache(tmp_path, 0, level="1", type="Data", size="", shared_cpu_list="0")
    cache(tmp_path, 1, level="2", type="Unified")
    assert host.caches(tmp_path) == {}
