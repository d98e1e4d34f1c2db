"""The catalogue's own arithmetic: poison, bounds, ratios, and where the library is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from portkernel import catalog
from portkernel import dtypes as d

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("dtype", d.ALL, ids=str)
def test_poison_is_nothing_that_a_kernel_computes(dtype: d.DType) -> None:
    x = catalog.poison((3, 5), dtype)
    assert x.shape == (3, 5)
    assert x.dtype == dtype.np
    assert x.flags.writeable
    if dtype.is_float:
        assert np.isnan(x.astype(np.float64)).all()
    elif not dtype.is_bool:
        assert set(x.tobytes()) == {0xAB}


def test_ratio_of_exact_outputs() -> None:
    want, none = np.array([1, 2, 3]), np.zeros(3)
    assert catalog.ratio(np.array([1, 2, 3]), want, none) == 0
    assert catalog.ratio(np.array([1, 2, 4]), want, none) == np.inf
    big = np.array([2**62 + 1])
    assert catalog.ratio(np.array([2**62]), big, np.zeros(1)) == np.inf  # not by way of float64


def test_ratio_is_the_worst_element() -> None:
    want, bound = np.array([1.0, 10.0]), np.array([0.5, 2.0])
    assert catalog.ratio(np.array([1.25, 9.0]), want, bound) == 0.5
    assert catalog.ratio(np.array([1.0, 13.0]), want, bound) == 1.5
    assert catalog.ratio(np.array([1.0, 10.5]), want, np.array([0.0, 0.0])) == np.inf


def test_nan_and_infinities_must_match() -> None:
    want, bound = np.array([np.nan, np.inf, -np.inf]), np.full(3, 1e9)
    assert catalog.ratio(want.copy(), want, bound) == 0
    for wrong in ([0, np.inf, -np.inf], [np.nan, 1e300, -np.inf], [np.nan, np.inf, np.inf]):
        assert catalog.ratio(np.array(wrong), want, bound) == np.inf
    assert catalog.ratio(np.array([np.nan]), np.array([1.0]), np.ones(1)) == np.inf


def test_shapes_must_match_and_empty_is_right() -> None:
    assert catalog.ratio(np.zeros(3), np.zeros((3, 1)), np.ones(3)) == np.inf
    assert catalog.ratio(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 4))) == 0


@pytest.mark.parametrize("dtype", [d.float64, d.float32, d.float16, d.bfloat16, d.float8_e5m2], ids=str)
def test_one_rounding_is_within_its_bound(dtype: d.DType) -> None:
    x = np.random.default_rng(0).standard_normal(1000) * 2.0 ** np.random.default_rng(1).integers(-30, 10, 1000)
    rounded = x.astype(dtype.np).astype(np.float64)
    assert (np.abs(rounded - x) <= catalog.rounding(x, dtype)).all()


def test_gamma() -> None:
    u = 2.0**-24
    assert catalog.unit_roundoff(d.float32) == u
    assert catalog.gamma(10, d.float32) == pytest.approx(10 * u / (1 - 10 * u))
    assert catalog.gamma(1000, d.int32) == 0


def test_the_library_is_found_beside_the_package() -> None:
    code = "from portkernel import catalog; print(len(catalog.all_entries())); import portkernel.kernels.matmul"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 11


def test_problems_are_deterministic() -> None:
    for entry in catalog.all_entries():
        first, second = (entry.cases[1].make(entry.dtypes[0], np.random.default_rng(5)) for _ in range(2))
        for name, x in first.args.items():
            assert np.array_equal(np.asarray(x), np.asarray(second.args[name]), equal_nan=True), (entry.name, name)


def test_find() -> None:
    assert catalog.find("softmax").name == "softmax"
    with pytest.raises(KeyError):
        catalog.find("no such kernel")
