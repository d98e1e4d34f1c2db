"""The command line, through click's own runner."""

from __future__ import annotations

import json
import re
import sys
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portkernel import config
from portkernel.cli import portkernel
from portkernel.coverage.places import Found
from portkernel.runtime import survey
from portkernel.runtime.cache import Entry, at, key_of
from portkernel.runtime.identity import Identity


def run(*args: str) -> Result:
    return CliRunner().invoke(portkernel, args)


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in ("coverage", "doctor", "source", "cache"):
        assert name in result.output


@pytest.mark.parametrize("option", ["--ops", "--backends", "--dtypes"])
def test_coverage_refuses_unknown_names(option: str) -> None:
    result = run("coverage", option, "nothing_of_the_kind")
    assert result.exit_code == 2
    assert "got 'nothing_of_the_kind'" in result.output


@pytest.mark.parametrize("command", [(), ("bench",), ("cache",), ("targets",), ("tune",)])
def test_lists_of_commands_are_whole_sentences(command: tuple[str, ...]) -> None:
    listed = run(*command, "--help").output.partition("Commands:")[2]
    assert listed and "..." not in listed


def test_source_refuses_unknown_kernels_and_dtypes() -> None:
    assert "got 'nothing'" in run("source", "nothing", "--backend", "cuda").output
    result = run("source", "matmul", "--backend", "cuda", "--dtype", "complex64")
    assert result.exit_code == 1 and "expected a dtype" in result.output


@pytest.mark.parametrize(
    ("backend", "part"), [("cuda", "__global__"), ("opencl", "__kernel"), ("triton", "@triton.jit")]
)
def test_source_prints_text(backend: str, part: str) -> None:
    result = run("source", "vector_add", "--backend", backend)
    assert result.exit_code == 0, result.output
    assert part in result.output


def test_source_prints_ir() -> None:
    result = run("source", "vector_add", "--backend", "numpy", "--ir")
    assert result.exit_code == 0 and "func vector_add(" in result.output


PROBES = {
    "numpy": Found((Identity("numpy", "", "numpy", "", ""),)),
    "opencl": Found((), "no platform", 'pip install "portkernel[cpu]"'),
    "cuda": Found((Identity("gpu", "0", "NVIDIA [test]", "", ""),)),
}


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    doctor_module = sys.modules["portkernel.cli.doctor"]  # the name in the package is the command
    monkeypatch.setattr(doctor_module, "ask", lambda: PROBES)
    monkeypatch.setattr(survey, "installed", lambda name: None if name == "triton" else "1.0")
    monkeypatch.setattr(survey, "sightings", lambda: (survey.Sighting("somebody", "tool x-smi", "1.2", ("X [1]",)),))
    result = run("doctor", "--json")
    assert result.exit_code == 0, result.output
    found = {b["backend"]: b for b in json.loads(result.output)["backends"]}
    assert found["numpy"]["devices"] == ["numpy"] and not found["numpy"]["missing"]
    assert found["opencl"]["missing"] == "no platform" and "portkernel[cpu]" in found["opencl"]["cure"]
    assert found["triton"]["missing"] == "packages triton"
    assert found["triton"]["cure"] == 'pip install "portkernel[triton]"'
    assert {b: f["can"] for b, f in found.items()} == {
        "numpy": "run", "opencl": "compile", "triton": "emit", "cuda": "run", "hip": found["hip"]["can"], "musa": "emit",
    }  # fmt: skip
    assert json.loads(result.output)["vendors"][0]["devices"] == ["X [1]"]
    assert run("doctor").exit_code == 0 and "NVIDIA [test]" in run("doctor").output


def test_cache_commands(tmp_path: Path) -> None:
    keys = [key_of(str(i)) for i in range(3)]
    with config.override(cache_dir=tmp_path / "one"):
        cache = at(tmp_path / "one")
        assert cache is not None
        for i, key in enumerate(keys):
            cache.put(key, Entry(bytes([i]) * 10, "", {"device": "d"}))
        assert "entries  3" in run("cache", "info").output
        assert run("cache", "verify").exit_code == 0
        assert run("cache", "export", str(tmp_path / "all.tar")).exit_code == 0
        (cache.folder / f"{keys[0]}.bin").write_bytes(b"damaged")
        damaged = run("cache", "verify")
        assert damaged.exit_code == 1 and keys[0] in damaged.output
        assert "2 entries written" in run("cache", "export", str(tmp_path / "sound.tar")).output
        assert run("cache", "clear").exit_code == 0 and cache.keys() == []
    with config.override(cache_dir=tmp_path / "two"):
        assert "3 entries added, 0 refused" in run("cache", "import", str(tmp_path / "all.tar")).output
        other = at(tmp_path / "two")
        assert other is not None and other.get(keys[2]) == Entry(bytes([2]) * 10, "", {"device": "d"})


def test_cache_import_takes_only_entries(tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar"
    key = key_of("x")
    (tmp_path / "payload").write_bytes(b"{}")
    with tarfile.open(bad, "w") as tar:
        for name in ("../outside.json", f"{key}.json", f"{key}.bin", "folder/x.bin"):
            tar.add(tmp_path / "payload", name)
    with config.override(cache_dir=tmp_path / "cache"):
        result = run("cache", "import", str(bad))
        assert result.exit_code == 0 and "0 entries added, 1 refused" in result.output
        found = at(tmp_path / "cache")
        assert found is not None and found.keys() == []
    assert not (tmp_path / "outside.json").exists()


def test_cache_switched_off() -> None:
    with config.override(cache_dir=None):
        result = run("cache", "info")
    assert result.exit_code == 1 and "switched off" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cache import {text}", "expected a file that cache export wrote, got"),
        ("cache export {folder}/none/x.tar", "none/x.tar: No such file or directory"),
        ("targets list --vendor nobody", "Invalid value for --vendor: expected one of amd, .*, got 'nobody'"),
        ("targets list --route by-air", "Invalid value for --route: expected one of cuda, .*, got 'by-air'"),
        ("bench --seconds -1", "Invalid value for '--seconds': -1.0 is not in the range"),
        ("bench --threads 0", "Invalid value for '--threads': 0 is not in the range"),
        ("bench overhead --seconds 0", "Invalid value for '--seconds': 0.0 is not in the range"),
    ],
)
def test_mistakes_are_one_line(words: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    result = run(*words.format(text=tmp_path / "text", folder=tmp_path).split())
    assert result.exit_code in (1, 2) and isinstance(result.exception, SystemExit)
    assert re.search(message, " ".join(result.output.split()))
