"""``portkernel targets``: what is printed is what the profiles say; what was executed comes from recorded runs alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from portkernel import errors, targets
from portkernel.cli import portkernel
from portkernel.targets import detection, runs


def run(*args: str) -> Result:
    return CliRunner().invoke(portkernel, ("targets", *args))


def test_list() -> None:
    result = run("list")
    assert result.exit_code == 0, result.output
    for part in ("nvidia-h100", "mthreads-s4000-qy2", "no recorded run"):
        assert part in result.output


def test_list_as_json_and_by_vendor_and_route() -> None:
    everything = {p["name"]: p for p in json.loads(run("list", "--json").output)}
    assert set(everything) == set(targets.records())
    assert everything["biren-br100"]["float64"] == "absent" and everything["biren-br100"]["lanes"] == "?"
    assert everything["mthreads-kuae"]["lanes"] == "128 or 32", "a system of several chips says each"
    assert all(p["executed"] == [] for p in everything.values())
    assert {p["vendor"] for p in json.loads(run("list", "--vendor", "huawei", "--json").output)} == {"huawei"}
    by_hip = {p["name"] for p in json.loads(run("list", "--route", "hip", "--json").output)}
    assert by_hip == {"amd-mi100", "amd-mi200", "amd-mi300x", "amd-mi308", "hygon-bw1000"}


def test_show() -> None:
    result = run("show", "mthreads-s4000")
    assert result.exit_code == 0, result.output
    for part in ("mthreads-s4000-qy2", "128", "assumed", "claims of the press", "how to check it", "no recorded run"):
        assert part in result.output
    data = json.loads(run("show", "cambricon-mlu370", "--json").output)
    assert data["facts"]["local_bytes"]["value"] == 655360
    assert data["target"]["absent"] == ["float64"] and data["executed"] == []


def test_diff() -> None:
    result = run("diff", "nvidia-h100", "nvidia-h20")
    assert result.exit_code == 0 and "148 TFLOPS" in result.output
    rows = {row["what"]: row for row in json.loads(run("diff", "nvidia-h100", "nvidia-h20", "--json").output)}
    assert rows["float64 arithmetic"] == {"what": "float64 arithmetic", "nvidia-h100": "native", "nvidia-h20": "slow"}
    assert "say the same" in run("diff", "nvidia-h100", "nvidia-h100").output


def test_unknown_names_are_refused() -> None:
    result = run("show", "nvidia-h10")
    assert result.exit_code == 1 and "nvidia-h100" in result.output


def report(folder: Path, **change: Any) -> Path:
    column = {"id": "cuda/h100", "kind": "device", "name": "NVIDIA H100 80GB HBM3", "driver": "13.0", "backend": "cuda"}
    cell = {"column": "cuda/h100", "state": "native", "launches": {"matmul": 1}}
    idle = {"column": "cuda/h100", "state": "emitted"}
    document = {
        "format": runs.FORMAT,
        "made": {"date": "2026-11-20T10:00:00Z", "commit": "0123456789abcdef"},
        "columns": [column, {**column, "id": "cuda/sm_80", "kind": "compiler"}],
        "cells": [cell, cell, {**cell, "state": "emulated"}, {**cell, "state": "wrong"}, idle],
        **change,
    }
    file = folder / "report.json"
    file.write_text(json.dumps(document))
    return file


def test_executed_comes_from_a_recorded_run(tmp_path: Path) -> None:
    file = report(tmp_path)
    (found,) = runs.recorded(file)
    assert found.target == "nvidia-h100" and found.cells == {"native": 2, "emulated": 1, "wrong": 1}
    assert "2 native, 1 emulated, 1 wrong; commit 0123456789" in run("show", "nvidia-h100", "--run", str(file)).output
    assert "2 native" not in run("show", "nvidia-h200", "--run", str(file)).output
    data = {p["name"]: p["executed"] for p in json.loads(run("list", "--json", "--run", str(file)).output)}
    assert data["nvidia-h100"] and not data["nvidia-a100"]


def test_what_was_not_launched_on_a_device_is_not_executed(tmp_path: Path) -> None:
    column = {"id": "c", "kind": "interpreter", "name": "NVIDIA H100", "driver": "", "backend": "triton"}
    assert runs.recorded(report(tmp_path, columns=[column])) == ()
    assert runs.recorded(report(tmp_path, cells=[{"column": "cuda/h100", "state": "native"}])) == ()


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}', json.dumps({"format": runs.FORMAT})])
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    file.write_text(text)
    with pytest.raises(errors.ProfileError, match=r"r\.json: "):
        runs.recorded(file)
    assert run("show", "nvidia-h100", "--run", str(file)).exit_code == 1


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("NVIDIA H100 80GB HBM3", "nvidia-h100"), ("NVIDIA H20", "nvidia-h20"), ("NVIDIA A100-SXM4-40GB", "nvidia-a100"),
        ("NVIDIA L20", "nvidia-l20"), ("NVIDIA L2", "nvidia-l2"), ("MTT S4000", "mthreads-s4000-qy2"),
        ("AMD Instinct MI300X", "amd-mi300x"), ("Ascend910B3", "huawei-ascend910b"), ("NVIDIA GeForce RTX 4090", ""),
        ("pthread-AMD EPYC", ""),
    ],
)  # fmt: skip
def test_device_names(name: str, target: str) -> None:
    assert detection.target_of_device(name) == target
    assert not target or target in targets.names()


@pytest.mark.parametrize(
    ("name", "arch", "target"),
    [
        ("NVIDIA H20", "sm_90", "nvidia-h20"),
        ("NVIDIA GeForce RTX 3080", "sm_86", "nvidia-a10"),
        ("AMD Instinct MI210", "gfx90a", "amd-mi200"),
        ("an H100 in name only", "sm_75", "nvidia-a100"),
    ],
)
def test_the_nearest_profile_of_a_device(name: str, arch: str, target: str) -> None:
    assert detection.nearest(name, arch, "nvidia-a100").name == target
