"""Mistakes in a kernel's text: each has its class, its message, and the line where it stands."""

from __future__ import annotations

import linecache

import pytest
from lowering import Check, N, Types, array

from portkernel import dtypes as d
from portkernel import errors
from portkernel import lang as pk
from portkernel.frontend import KernelFn, kernel_from_source

# --- syntax that the language does not have ------------------------------------------------------------------

SYNTAX = {
    "class": ("class A:\n        pass", "class A"),
    "try": ("try:\n        pass\n    except ValueError:\n        pass", "try:"),
    "with": ("with open('a') as f:\n        pass", "with open"),
    "import": ("import math", "import math"),
    "global": ("global g", "global g"),
    "yield": ("yield n", "yield n"),
    "del": ("del n", "del n"),
    "raise": ("raise ValueError", "raise ValueError"),
    "match": ("match n:\n        case 1:\n            pass", "match n"),
    ":=": ("pk.store(out, 0, (y := n))", "(y := n)"),
}


@pytest.mark.parametrize("what", SYNTAX)
def test_unsupported_syntax(what: str, assert_kernel_error: Check) -> None:
    text, at = SYNTAX[what]
    error = assert_kernel_error(
        f"def kernel(x, out, n):\n    m = n + 1\n    {text}\n", errors.UnsupportedSyntaxError, f"`{what}`", at
    )
    assert error.hint


def test_await(assert_kernel_error: Check) -> None:
    assert_kernel_error(
        "async def kernel(x, out, n):\n    await n\n", errors.UnsupportedSyntaxError, "async def", "async def kernel"
    )


@pytest.mark.parametrize(
    ("body", "match", "at"),
    [
        ("for i in range(n):\n        break", "`break`.*run-time loop", "break"),
        ("for i in range(n):\n        continue", "`continue`.*run-time loop", "continue"),
        ("for i in range(n):\n        return", "`return`.*run-time loops", "return"),
        ("while n > m:\n        break", "`break`.*run-time loop", "break"),
        ("for i in pk.static_range(3):\n        if n > i:\n            break", "`break`.*run-time `if`", "break"),
        ("for i in range(n):\n        pass\n    else:\n        m = 1", "`else` of a loop", "m = 1"),
        ("while True:\n        m += 1", "always true", "while True"),
        ("n.flag = 3", "expected a name", "n.flag = 3"),
        ("x[0] = 3", "element of an array", "x[0] = 3"),
        ("v = pk.load(x, 0, 4)\n    v[0] = 3", "tiles are values", "v[0] = 3"),
        ("return n", "returns nothing", "return n"),
        ("@pk.load\n    def f():\n        pass", "decorator", "@pk.load"),
        ("m = 3j", "complex", "m = 3j"),
        ("for i, j in range(n):\n        pass", "one variable", "for i, j"),
        ("t = [1]\n    if n > 0:\n        t.append(2)", "made on this path", "t.append(2)"),
    ],
)
def test_unsupported_use(body: str, match: str, at: str, assert_kernel_error: Check) -> None:
    text = f"def kernel(x, out, n):\n    m = n + 1\n    {body}\n"
    assert_kernel_error(text, errors.UnsupportedSyntaxError, match, at)


def test_collecting_parameter() -> None:
    with pytest.raises(errors.UnsupportedSyntaxError, match=r"kernel\(\): \*xs") as caught:
        KernelFn(kernel_from_source("def kernel(*xs):\n    pass\n", "kernel"))
    assert caught.value.loc.line == 1


# --- names ---------------------------------------------------------------------------------------------------


def test_unknown_name(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        tile = pk.load(x, 0, 4)  # noqa: F841
        pk.store(out, 0, tyle)  # noqa: F821

    error = assert_kernel_error(kernel, errors.UnknownNameError, "`tyle`", "pk.store(out, 0, tyle)")
    assert error.hint == "did you mean `tile`?"
    assert (error.loc.col, error.loc.end_col) == (25, 29)


def test_names_of_the_language_need_their_module(assert_kernel_error: Check) -> None:
    text = "def kernel(x, out, n):\n    v = n.astype(float16)\n"
    assert (
        assert_kernel_error(text, errors.UnknownNameError, "`float16`", "float16").hint == "did you mean `pk.float16`?"
    )


def test_methods_of_tiles_on_an_array(assert_kernel_error: Check) -> None:
    error = assert_kernel_error("def kernel(x, out, n):\n    x.sum()\n", errors.UnknownNameError, "`.sum`", "x.sum()")
    assert "pk.load" in error.hint


def test_unknown_function_of_the_language(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.lode(x, 0, 4)

    error = assert_kernel_error(kernel, errors.UnknownNameError, "`.lode`", "pk.lode")
    assert error.hint == "did you mean `load`?"


def test_unknown_attribute_of_a_tile(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.load(x, 0, 4).exp()

    error = assert_kernel_error(kernel, errors.UnknownNameError, "`.exp`.*a tile", ".exp()")
    assert error.hint == "use pk.exp(...)"


def test_columns_count_characters(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        pk.device_print("größe", größe)  # noqa: F821

    error = assert_kernel_error(kernel, errors.UnknownNameError, "`größe`", "device_print")
    line = linecache.getline(error.loc.file, error.loc.line)
    assert line[error.loc.col : error.loc.end_col] == "größe"


# --- shapes and dtypes ---------------------------------------------------------------------------------------

MATRIX: Types = {"x": array(2), "out": array(2), "n": N, "h": array(2, d.float16), "i": array(1, d.int32)}


@pytest.mark.parametrize(
    ("line", "error", "match"),
    [
        ("pk.load(x, (0, 0), 4)", errors.ShapeError, r"load\(\): shape: expected rank 2"),
        ("pk.load(x, 0, (4, 4))", errors.ShapeError, r"load\(\): index: expected 2"),
        ("pk.load(x, (0.5, 0), (4, 4))", errors.DTypeError, r"load\(\): index: expected integers, got float32"),
        ("pk.load(x, (0, 0), (4, 0))", errors.ShapeError, r"sides of at least 1"),
        ("pk.load(n, 0, 4)", errors.DTypeError, r"load\(\): x: expected an array argument"),
        ("pk.load(x, (pk.arange(4), 0), (4, 4))", errors.ShapeError, r"index: expected scalars"),
        ("pk.store(out, (0, 0), pk.zeros(4))", errors.ShapeError, r"store\(\): value: expected rank 2"),
        (
            "pk.store(out, (0, 0), pk.zeros((4, 4), d.float16))",
            errors.DTypeError,
            r"store\(\): value: expected float32",
        ),
        ("pk.store(out, 0, pk.zeros((4, 4)))", errors.ShapeError, r"store\(\): index: expected 2"),
        ("pk.dot(pk.zeros((4, 8)), pk.zeros((4, 8)), pk.zeros((4, 8)))", errors.ShapeError, r"dot\(\): b: expected"),
        (
            "pk.dot(pk.zeros((4, 8)), pk.zeros((8, 4)), pk.zeros((4, 8)))",
            errors.ShapeError,
            r"dot\(\): acc: expected shape",
        ),
        ("pk.dot(pk.zeros(8), pk.zeros(8), pk.zeros(()))", errors.ShapeError, r"rank 2"),
        (
            "pk.dot(pk.zeros((4, 8), d.float16), pk.zeros((8, 4)), pk.zeros((4, 4)))",
            errors.DTypeError,
            r"dot\(\): b: expected float16 like a",
        ),
        (
            "pk.dot(pk.load(h, (0, 0), (4, 4)), pk.load(h, (0, 0), (4, 4)), pk.zeros((4, 4), d.float16))",
            errors.DTypeError,
            r"dot\(\): acc: expected float32",
        ),
        (
            "pk.zeros(4, pk.float8_e5m2) + 1",
            errors.DTypeError,
            r"add\(\): x: expected a dtype with arithmetic, got float8_e5m2",
        ),
        (
            "pk.zeros(4) + pk.zeros(5)",
            errors.ShapeError,
            r"add\(\): expected shapes that broadcast, got \(4,\) and \(5,\)",
        ),
        ("pk.broadcast_to(pk.zeros(4), (4, 5))", errors.ShapeError, r"expected shapes that broadcast"),
        ("x + 1", errors.DTypeError, "got an array argument"),
        ("pk.zeros(4, d.float32) & 1", errors.DTypeError, r"and\(\): x: expected an integer"),
        ("pk.where(n > 0, pk.zeros(3), pk.zeros(4))", errors.ShapeError, r"where\(\)"),
        ("pk.atomic_add(h, (0, 0), 1.0)", errors.DTypeError, r"atomic_add\(\): x: expected a 32-bit"),
        ("n + 'a'", errors.DTypeError, "expected a tile or a scalar, got str"),
        ("len(n)", errors.CallError, r"len\(\): expected a sequence"),
    ],
)
def test_wrong_shape_or_dtype(
    line: str, error: type[errors.KernelError], match: str, assert_expression_error: Check
) -> None:
    assert_expression_error(line, error, match, MATRIX, {"d": d})


def test_error_points_at_the_operator(assert_kernel_error: Check) -> None:
    text = "def kernel(x, out, n):\n    a = (pk.zeros(4) +\n         pk.zeros(5) * pk.ones(5))\n"
    error = assert_kernel_error(text, errors.ShapeError, "add", "a = (pk.zeros(4) +")
    assert (error.loc.line, error.loc.end_line) == (2, 3)


def test_condition_must_be_a_scalar(assert_kernel_error: Check) -> None:
    def kernel(x, out, n):
        v = pk.load(x, 0, 4)
        if v > 0:
            pk.store(out, 0, v)

    error = assert_kernel_error(kernel, errors.ShapeError, "if: condition: expected a scalar", "if v > 0:")
    assert "pk.any()" in error.hint
