"""The text of the Triton backend: nothing here needs Triton."""

from __future__ import annotations

import ast
import re

import numpy as np
import pytest

import portkernel as pk
from portkernel import dtypes, ir
from portkernel.backends.triton import TritonBackend, attributes, signature
from portkernel.backends.triton.mathlib import FUNCTIONS
from portkernel.backends.triton.prelude import HELPERS, closure
from portkernel.backends.triton.shapes import _reshapes_with_padding
from portkernel.errors import ResourceError, UnsupportedDTypeError, UnsupportedOpError
from portkernel.targets import find, variant

H100 = find("nvidia-h100")


@pk.kernel
def product(a, b, out, scale, BM: pk.constexpr[int] = 24, BN: pk.constexpr[int] = 40, BK: pk.constexpr[int] = 17):
    i, j = pk.program_id(0), pk.program_id(1)
    acc = pk.zeros((BM, BN), pk.float32)
    for k in range(pk.cdiv(a.shape[1], BK)):
        acc = pk.dot(pk.load(a, (i, k), (BM, BK)), pk.load(b, (k, j), (BK, BN)), acc)
    pk.device_assert(acc == acc, "not a number")
    pk.store(out, (i, j), (acc * scale).astype(out.dtype))


def _source(dtype: str = "float32") -> str:
    spec = pk.TensorSpec(2, dtype)
    return str(product.source(spec, spec, spec, 2.0, backend="triton", target="nvidia-h100"))


def _emit(body: object, *types: ir.Type) -> ir.Func:
    """A function whose body is built by ``body`` from parameters of ``types``."""
    from portkernel.lang import TensorValue

    params = tuple(ir.Value(t, f"x{i}") for i, t in enumerate(types))
    builder = ir.Builder()
    with ir.use(builder), builder.scope() as scope:
        body(*(TensorValue(p) for p in params))  # type: ignore[operator]
    return ir.Func("k", params, scope.close())


def _vector(dtype: dtypes.DType) -> ir.Tensor:
    return ir.Tensor(1, dtype, (None,), (1,))


def test_text_is_one_module_with_one_entry_in_the_language_of_triton_3_1() -> None:
    text = _source()
    tree = ast.parse(text)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    assert all(ast.unparse(f.decorator_list[0]) == "triton.jit" for f in functions.values())
    assert [a.arg for a in functions["entry"].args.args][-2:] == ["scale", "status"]
    assert not re.search(r"make_block_ptr|tensor_descriptor|boundary_check", text)
    assert all('input_precision="ieee"' in line for line in text.splitlines() if "tl.dot(" in line)


def test_the_same_function_gives_the_same_bytes() -> None:
    assert _source() == _source()


def test_every_side_is_padded_to_a_power_of_two_and_masked() -> None:
    text = _source()
    assert {int(n) for n in re.findall(r"tl\.arange\(0, (\d+)\)", text)} == {32, 64}
    assert "(tl.arange(0, 32) < 24)" in text and "(tl.arange(0, 64) < 40)" in text
    assert "tl.where((tl.arange(0, 32) < 17)[None, :]" in text  # zeros where the product would add padding


def test_arguments_come_in_abi_order() -> None:
    func = _emit(
        lambda x, y: pk.store(y, (0, 0), pk.load(x, (0, 0), (4, 4))),
        ir.Tensor(2, dtypes.bfloat16, (None, 1), (None, 1), 16),
        ir.Tensor(2, dtypes.bfloat16, (None, None), (None, None)),
    )
    source = TritonBackend().emit(func, H100)
    assert "def entry(x0, x0_n0, x0_s0, x1, x1_n0, x1_n1, x1_s0, x1_s1, status):" in source.text
    assert signature(source.params) == ("*u16", "i64", "i64", "*u16", "i64", "i64", "i64", "i64", "*i32")
    assert attributes(source.params) == {0: 16, 2: 16}
    assert source.emulated == {"bfloat16"}


def test_lines_lead_back_to_the_kernel() -> None:
    spec = pk.TensorSpec(2, "float32")
    source = product.source(spec, spec, spec, 2.0, backend="triton", target="nvidia-h100").source
    lines = source.text.splitlines()
    dot = next(i for i, line in enumerate(lines, 1) if "tl.dot(" in line)
    loc = source.loc_of(dot)
    assert loc is not None and loc.file == __file__
    with open(__file__) as f:
        assert "pk.dot(" in f.read().splitlines()[loc.line - 1]
    assert [message for message, _ in source.asserts] == ["not a number"]


def test_names_of_the_user_that_mean_something_in_triton_are_changed() -> None:
    func = _emit(lambda x: pk.store(x, 0, pk.load(x, 0, 4)), _vector(dtypes.int32))
    renamed = ir.Func("k", (ir.Value(func.params[0].type, "tl"),), func.body)
    swapped = ir.Func(
        "k",
        renamed.params,
        ir.Block(
            (),
            tuple(
                ir.rebuild(op, lambda v: renamed.params[0] if v is func.params[0] else v, lambda b: b)
                for op in func.body.ops
            ),
            (),
        ),
    )
    text = TritonBackend().emit(swapped, H100).text
    assert "def entry(tl_1, tl_1_n0, status):" in text
    ast.parse(text)


def test_a_tile_beyond_the_limit_of_triton_is_a_resource_error() -> None:
    func = _emit(lambda x: pk.store(x, 0, pk.load(x, 0, (1 << 20) + 1)), _vector(dtypes.int8))
    with pytest.raises(ResourceError, match="expected at most 1048576 elements, got 2097152"):
        TritonBackend().emit(func, H100)


def test_a_dtype_that_the_target_lacks_is_refused_and_reported_alike() -> None:
    func = _emit(lambda x: pk.store(x, 0, pk.load(x, 0, 4) + 1.0), _vector(dtypes.float64))
    without = variant(H100, absent=frozenset({"float64"}))
    assert not TritonBackend().supports(ir.Binary, dtypes.float64, without)
    with pytest.raises(UnsupportedDTypeError, match="no float64"):
        TritonBackend().emit(func, without)


def test_narrow_atomics_are_refused_and_reported_alike() -> None:
    assert not TritonBackend().supports(ir.AtomicRMW, dtypes.int16, H100)
    with pytest.raises(UnsupportedOpError, match="32-bit"):
        x = ir.Value(_vector(dtypes.int16), "x")
        value, index, old = (ir.Value(ir.Tile((), d)) for d in (dtypes.int16, dtypes.int64, dtypes.int16))
        consts = tuple(ir.Const(results=(v,), loc=_nowhere(), value=0) for v in (value, index))
        op = ir.AtomicRMW(results=(old,), loc=_nowhere(), fn="add", tensor=x, indices=(index,), mask=None, value=value)
        TritonBackend().emit(ir.Func("k", (x,), ir.Block((), (*consts, op), ())), H100)


def _nowhere() -> object:
    from portkernel.loc import UNKNOWN

    return UNKNOWN


@pytest.mark.parametrize("op", ir.TILE_OPS)
def test_every_operation_is_supported_in_float32(op: type[ir.Op]) -> None:
    assert TritonBackend().supports(op, dtypes.float32, H100)


@pytest.mark.parametrize("name", sorted(HELPERS))
def test_every_helper_comes_with_what_it_calls(name: str) -> None:
    texts = closure([name])
    tree = ast.parse("\n".join(texts))
    defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in HELPERS}
    assert name in defined and used <= defined


def test_no_division_of_float32_is_left_to_the_compiler() -> None:
    wrong = {n for n, t in FUNCTIONS.items() if n.endswith("_f32") and re.search(r"[\w)] / [\w(]", t.split('"""')[-1])}
    assert wrong == set()


@pytest.mark.parametrize(
    ("old", "new", "plain"),
    [
        ((48,), (48, 1), True), ((48, 16), (768,), True), ((17, 3), (51,), False), ((8, 4), (2, 16), True),
        ((3, 4, 5), (12, 5), True), ((4, 3, 5), (12, 5), False), ((12, 5), (12, 1, 5), True), ((6, 8), (6, 2, 4), True),
        ((), (1,), True), ((1, 1), (), True),
    ],
)  # fmt: skip
def test_which_reshapes_move_no_element(old: tuple[int, ...], new: tuple[int, ...], plain: bool) -> None:
    """Against the definition: a reshape of the padded tiles puts each element where it belongs."""
    from portkernel.backends.triton.spell import padded

    assert _reshapes_with_padding(old, new) is plain
    box = np.full(padded(old), -1)
    box[tuple(slice(n) for n in old)] = np.arange(int(np.prod(old))).reshape(old)
    if box.size == np.prod(padded(new)):
        moved = box.reshape(padded(new))[tuple(slice(n) for n in new)]
        assert np.array_equal(moved.ravel(), np.arange(int(np.prod(old)))) is plain
    else:
        assert not plain
