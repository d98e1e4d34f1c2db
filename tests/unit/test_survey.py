"""What a machine has: vendors' tools, plug-ins and compilers, all of them played by scripts here."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from portkernel import backends, targets
from portkernel.runtime import survey
from portkernel.targets.detection import Traces, traces


def program(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH, the shell's own programs aside."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    return tmp_path


MT = next(row for row in traces() if row.vendor == "mthreads")
NVIDIA = next(row for row in traces() if row.vendor == "nvidia")


def test_every_row_of_the_table_can_be_used() -> None:
    for row in traces():
        assert row.query or row.torch or row.compiler
        assert not row.query or "name" in re.compile(row.names).groupindex
        assert bool(row.torch) == bool(row.module)
    assert {p.vendor for p in targets.records().values()} >= {row.vendor for row in traces()} - {"metax"}


def test_a_tool_shows_its_devices(bin: Path) -> None:
    program(bin, "mthreads-gmi", 'echo "| 0  MTT S4000   48C |"; echo "| 1  MTT S4000   50C |"')
    (found,) = survey.sightings([MT])
    assert found.by == "tool mthreads-gmi" and found.devices == ("MTT S4000", "MTT S4000") and not found.problem
    assert found.profiles == ("mthreads-s4000-qy2",)
    assert "musa (cuda-renamed)" in found.routes and "triton (fork mthreads)" in found.routes


def test_a_driver_version_is_read(bin: Path) -> None:
    program(bin, "nvidia-smi", 'echo "NVIDIA H100 80GB HBM3, 550.54.15"')
    (found,) = survey.sightings([NVIDIA])
    assert (found.devices, found.version) == (("NVIDIA H100 80GB HBM3",), "550.54.15")
    assert found.profiles == ("nvidia-h100",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('echo "no driver" >&2; exit 9', "mthreads-gmi ended with status 9: no driver"),
        ("exec sleep 30", "mthreads-gmi did not answer within 0.3 seconds"),
        ("echo nothing", "it lists no device that is known by name"),
    ],
)
def test_a_tool_that_fails_costs_a_line(bin: Path, text: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "QUERY_SECONDS", 0.3)
    program(bin, "mthreads-gmi", text)
    (found,) = survey.sightings([MT])
    assert found.problem == problem and not found.devices


def test_a_compiler_on_the_path(bin: Path) -> None:
    program(bin, "mcc", 'echo "mcc version 4.2.0"')
    (found,) = survey.sightings([MT])
    assert (found.by, found.version) == ("compiler mcc", "4.2.0")


def test_nothing_is_nothing(bin: Path) -> None:
    assert survey.sightings([MT, NVIDIA]) == ()


TORCH = """
class fake:
    @staticmethod
    def device_count(): return 2
    @staticmethod
    def get_device_name(i): return f"MTT S80 #{i}"
"""


@pytest.mark.parametrize(
    ("plugin", "problem"), [("", ""), ("raise SystemExit('broken')", "ended with status 1: broken")]
)
def test_a_plug_in_of_pytorch_is_imported_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: str, problem: str
) -> None:
    (tmp_path / "torch.py").write_text(TORCH)
    (tmp_path / "torch_fake.py").write_text(plugin)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    row = Traces("mthreads", torch="torch_fake", module="fake")
    (found,) = survey.sightings([row])
    assert found.by == "plug-in torch_fake" and problem in found.problem
    assert found.devices == (() if plugin else ("MTT S80 #0", "MTT S80 #1"))
    assert found.profiles == (() if plugin else ("mthreads-s80-qy1",))


def test_names_that_are_no_modules_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "find_spec", lambda name: True)
    (found,) = survey.sightings([Traces("x", torch="a; import os", module="b")])
    assert "no Python name" in found.problem


def test_what_backends_can(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(survey.NEEDS) == set(backends.BUILTIN)
    monkeypatch.setattr(survey, "installed", lambda name: "1.0")
    assert survey.examine("triton", ["a GPU"], ["interpreter"]).can == "run"
    assert survey.examine("triton", [], ["interpreter"]).can == "interpret"
    assert survey.examine("cuda", [], [], "no driver", "install it").cure == "install it"
    monkeypatch.setattr(survey, "installed", lambda name: None)
    absent = survey.examine("opencl", [], [])
    assert (absent.can, absent.missing, absent.cure) == ("emit", "packages pyopencl", 'pip install "portkernel[cpu]"')


def test_compilers_of_backends_that_launch_nothing(bin: Path) -> None:
    assert survey.examine("musa", [], []).missing == "mcc is not on the PATH"
    program(bin, "mcc", 'echo "mcc version 4.2.0"')
    found = survey.examine("musa", [], [])
    assert found.versions == {"mcc": "4.2.0"} and found.can == "compile" and "launcher" in found.missing
