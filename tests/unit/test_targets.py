"""The target profiles: every file is read, what it does not say stays unknown, and the compiler gets cautious defaults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from portkernel import errors, targets
from portkernel.dtypes import BY_NAME
from portkernel.targets import facts, read

# Every chip and system that the question about domestic GPUs names, and its peers.
NAMED = """
nvidia-v100 nvidia-a100 nvidia-a100x nvidia-a800 nvidia-h100 nvidia-h800 nvidia-h200 nvidia-h20 nvidia-l20 nvidia-l2
nvidia-a10 nvidia-rtx3090 nvidia-gb200 nvidia-gb200-nvl72 nvidia-dgx amd-mi100 amd-mi200 amd-mi300x amd-mi308 amd-mi309
biren-br100 biren-br104 biren-br2xx mthreads-s80-qy1 mthreads-s4000-qy2 mthreads-s5000-ph1 mthreads-kuae iluvatar-bi100
innosilicon-fantasy1 jingjia-jm9 huawei-ascend910b huawei-ascend910c huawei-cloudmatrix384 cambricon-mlu370
cambricon-mlu590 cambricon-mluarch04 enflame-gcu300 enflame-gcu400 thead-ppu thead-hanguang800 kunlunxin-p800
hygon-bw1000 bitmain-sophgo-bm1684x vastai-va horizon-bpu unisoc-soc intel-vnni-cpu intel-xeonphi-31s1p sw26010
""".split()  # noqa: SIM905
OURS = ["numpy", "opencl-cpu", "opencl-gpu"]

SMALL = """
title = "A chip"
vendor = "somebody"
kind = "chip"
"""


def test_every_named_device_has_its_profile() -> None:
    assert sorted([*NAMED, *OURS]) == sorted(read.names())
    assert set(targets.records()) == set(read.names())


@pytest.mark.parametrize("name", [*NAMED, *OURS])
def test_profile(name: str) -> None:
    profile = targets.record(name)
    assert profile.title and profile.vendor
    if name in NAMED and profile.kind != "system":
        assert {r.name for r in profile.routes} >= {"triton", "torch"}, "a route that was looked for is stated"
    for fact in profile.facts.values():
        assert fact.value is not None or fact.why, "what is not known says why"
    for chip in profile.chips:
        assert targets.record(chip).kind == "chip"
    target = targets.find(name)
    assert target.name == name and target.vendor == profile.vendor
    assert target.native <= set(BY_NAME) and not target.native & target.absent


def test_routes_name_backends_that_exist() -> None:
    from portkernel import backends

    used = {r.backend for p in targets.records().values() for r in p.routes if r.backend}
    assert used <= set(backends.names())


def test_what_is_unknown_is_a_cautious_default_and_says_so() -> None:
    target = targets.find("mthreads-s4000-qy2")
    assert target.lanes == 128 and target.arch == "mp_22"
    assert targets.record("mthreads-s4000-qy2").value("local_bytes") is None
    assert target.local_bytes == 32768 and "local_bytes" in target.assumed and "lanes" not in target.assumed
    known = targets.find("nvidia-h100")
    assert not known.assumed and known.local_bytes == 232448


def test_silently_degraded_dtypes_are_refused() -> None:
    assert "float64" in targets.find("cambricon-mlu370").absent
    assert "float64" in targets.find("biren-br100").absent
    assert "float64" in targets.find("mthreads-s80-qy1").native, "slow is still there"


def test_a_system_is_its_chip() -> None:
    system, chip = targets.find("huawei-cloudmatrix384"), targets.find("huawei-ascend910c")
    assert targets.variant(system, name=chip.name) == chip


def test_the_unique_beginning_of_a_name_is_enough() -> None:
    assert targets.find("mthreads-s4000").name == "mthreads-s4000-qy2"
    with pytest.raises(errors.UnknownTargetError, match="got 'mthreads'") as raised:
        targets.find("mthreads")
    assert "mthreads-s5000-ph1" in str(raised.value.hint)
    with pytest.raises(errors.UnknownTargetError) as raised:
        targets.find("nvidia-h10")
    assert "nvidia-h100" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL + "colour = 1\n", r"chip\.toml: colour: unknown key"),
        (SMALL + "executed = true\n", r"chip\.toml: executed: is never written by hand"),
        ('vendor = "x"\nkind = "chip"\n', r"chip\.toml: title: expected a value, got none"),
        (SMALL.replace('"chip"', '"planet"'), r"chip\.toml: kind: expected one of chip, system, software, got 'planet'"),
        (SMALL + "[facts]\nlane = { value = 3, source = 'guess' }\n", r"chip\.toml: \[facts\]\.lane: unknown key"),
        (SMALL + "[facts]\nlanes = { value = '32', source = 'guess' }\n", r"\[facts\] lanes\.value: expected int, got '32'"),
        (SMALL + "[facts]\nlanes = { value = 32 }\n", r"\[facts\] lanes\.source: expected a value"),
        (SMALL + "[facts]\nlanes = { value = 32, source = 'hearsay' }\n", r"expected a name of sources\.toml, got 'hearsay'"),
        (SMALL + "[facts]\nmax_grid = { value = [1, 2], source = 'guess' }\n", r"max_grid\.value: expected three sizes"),
        (SMALL + "[compiler]\nschedule = 'npu'\n", r"\[compiler\]\.schedule: expected cpu or gpu"),
        (SMALL + "[[dtype]]\nnames = ['float65']\n", r"\[\[dtype\]\] 1\.names: expected dtypes, got 'float65'"),
        (SMALL + "[[dtype]]\nnames = ['int8']\nusage = 'matrix'\nstate = 'fast'\n", r"state: expected one of native"),
        (SMALL + "[[route]]\nname = 'cuda'\nstate = 'claimed'\nsorce = 'guess'\n", r"\[\[route\]\] 1\.source: expected a value"),
        (SMALL + "[[claim]]\ntext = 't'\nsource = 'guess'\n", r"\[\[claim\]\] 1\.check: expected a value"),
        ("title = ", r"chip\.toml: expected TOML"),
        (SMALL.replace('"chip"', '"system"'), r"chip\.toml: chips: expected the profiles"),
        (SMALL + "[[dtype]]\nnames = ['int8', 'int8']\nusage = 'matrix'\nstate = 'unknown'\n", "states int8 in matrix twice"),
    ],
)  # fmt: skip
def test_what_the_reader_does_not_know_it_refuses(text: str, message: str) -> None:
    with pytest.raises(errors.ProfileError, match=message):
        read.parse("chip", text)


def test_only_the_file_asked_for_is_read() -> None:
    program = (
        "import sys\nfrom portkernel.targets import find, read\nfind('nvidia-h100')\n"
        "assert read.record.cache_info().currsize == 1\n"
        "import portkernel\nassert 'importlib.metadata' not in sys.modules, 'no entry points'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_states_are_described() -> None:
    page = (Path(__file__).parents[2] / "docs" / "targets.md").read_text(encoding="utf-8")
    rows = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    for state in (*get_args(facts.State), *get_args(facts.RouteState)):
        assert f"`{state}`" in rows
