"""``portkernel bench overhead``: what it prints and writes."""

import json

import pytest
from click.testing import CliRunner

from portkernel.cli import portkernel

pytest.importorskip("pyopencl")


def test_the_command_prints_and_writes(tmp_path):
    place = tmp_path / "overhead.json"
    done = CliRunner().invoke(portkernel, ["bench", "overhead", "--seconds", "0.1", "--json", str(place)])
    assert done.exit_code == 0, done.output
    found = json.loads(place.read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["the driver's calls alone"]["above"] == 0
    for name, row in rows.items():
        assert row["wall"] > 0 and name.split("(")[0] in done.output
        if row["parts"]:
            assert abs(sum(row["parts"].values()) - row["above"]) < 1e-6
    assert rows["captured.replay()"]["budget"] == 3 and rows["pk.ops.softmax(x)"]["budget"] == 15
    assert all(ms > 0 for ms in found["first_use"])


def test_a_device_without_calls_of_its_own_is_refused():
    done = CliRunner().invoke(portkernel, ["bench", "overhead", "--device", "numpy", "--seconds", "0.1"])
    assert done.exit_code == 1 and "expected one with a driver, got numpy" in done.output
