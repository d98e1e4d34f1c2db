"""The operators: where each one's host function lies, and whose argument names and defaults it follows. Data.

Signature, docstring, dtypes and kernels are the function's own, and are not said here again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

EVERYWHERE = ("out", "backend", "device")
"""What every operator takes, also one whose host function does not."""
OWN = "portkernel"
NUMPY = "numpy"
TORCH = "torch.nn.functional"
TORCH_TOP = "torch"
TORCH_GRAD = "torch.nn.grad"


@dataclass(frozen=True, slots=True)
class Row:
    """An operator. ``module`` is below ``portkernel``; ``follows`` is the library whose words its arguments take."""

    name: str
    module: str
    follows: str
    function: str = ""
    """The name of the host function, where it is not that of the operator."""
    elementwise: bool = False
    """Whether ``out`` may be one of the arguments: every element is read before its place is written."""


_GROUPS: tuple[tuple[str, str, str], ...] = (
    ("kernels.matmul", NUMPY, "matmul"),
    ("kernels.matmul", OWN, "grouped_matmul matmul_list"),
    ("ops.products", TORCH, "linear scaled_dot_product_attention"),
    ("kernels.attention", OWN, "scaled_dot_product_attention_backward scaled_dot_product_attention_mask_gradient"),
    ("kernels.conv", TORCH, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    ("kernels.conv", TORCH_GRAD, "conv1d_input conv1d_weight conv2d_input conv2d_weight conv3d_input conv3d_weight"),
    ("kernels.conv", OWN, "conv_bias"),
    (
        "kernels.pooling",
        TORCH,
        "max_pool avg_pool adaptive_max_pool adaptive_avg_pool max_pool_input avg_pool_input adaptive_max_pool_input "
        "adaptive_avg_pool_input",
    ),
    (
        "ops.unbatched",
        TORCH,
        "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_max_pool1d adaptive_max_pool2d "
        "adaptive_max_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d",
    ),
    ("kernels.reduce", NUMPY, "sum prod mean max min any all count_nonzero"),
    ("kernels.reduce", OWN, "norm"),
    ("kernels.variance", NUMPY, "var std"),
    ("kernels.variance", OWN, "var_mean"),
    ("kernels.arg_reduce", NUMPY, "argmax argmin"),
    ("kernels.logsumexp", OWN, "logsumexp"),
    ("kernels.softmax", OWN, "softmax log_softmax softmax_gradient log_softmax_gradient"),
    ("kernels.layer_norm", TORCH, "layer_norm"),
    ("kernels.layer_norm", OWN, "layer_norm_gradient"),
    ("kernels.rms_norm", TORCH, "rms_norm"),
    ("kernels.rms_norm", OWN, "rms_norm_gradient"),
    ("kernels.group_norm", TORCH, "group_norm"),
    ("kernels.group_norm", OWN, "group_norm_gradient"),
    ("kernels.batch_norm", TORCH, "batch_norm"),
    ("kernels.batch_norm", OWN, "batch_norm_gradient fold_batch_norm"),
    ("kernels.gather", NUMPY, "take_along_axis take"),
    ("kernels.embedding", TORCH, "embedding"),
    ("kernels.embedding", OWN, "embedding_gradient"),
    ("kernels.scatter", OWN, "scatter_add"),
    ("kernels.put", OWN, "put_along_axis"),
    ("kernels.resample", OWN, "resample"),
    ("kernels.suppress", OWN, "greedy_suppress"),
    ("kernels.determinant", NUMPY, "det"),
    ("kernels.pad", NUMPY, "pad concatenate"),
    ("kernels.pad", OWN, "transposed_copy"),
    ("ops.indexing", TORCH_TOP, "index_select gather index_add cat"),
    (
        "ops.shapes",
        NUMPY,
        "transpose swapaxes moveaxis squeeze expand_dims broadcast_to reshape ravel stack split",
    ),
    ("kernels.fill", NUMPY, "full zeros ones full_like zeros_like ones_like arange"),
    ("kernels.triangle", NUMPY, "tril triu"),
    ("kernels.cumsum", NUMPY, "cumsum cumprod"),
    ("kernels.cumsum", OWN, "cummax"),
    ("kernels.sort", TORCH_TOP, "sort argsort"),
    ("kernels.sort", OWN, "topk"),
)
"""Module, whom the operators follow, their names; ``name=function`` where the function is called otherwise."""

_ELEMENTWISE: tuple[tuple[str, str, str], ...] = (
    ("kernels.elementwise", OWN, "elementwise"),
    (
        "kernels.functions",
        NUMPY,
        "add subtract multiply divide floor_divide remainder power negative absolute sign maximum minimum clip equal "
        "not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not isnan isinf isfinite where "
        "bitwise_and bitwise_or bitwise_xor invert left_shift right_shift floor ceil trunc round square reciprocal sqrt exp exp2 expm1 log "
        "log2 log10 log1p sin cos tan arctan2 tanh",
    ),
    ("kernels.trigonometry", NUMPY, "arcsin arccos arctan sinh cosh arcsinh arccosh arctanh"),
    (
        "kernels.functions",
        TORCH,
        "gelu relu silu sigmoid softplus softsign logsigmoid mish relu6 hardsigmoid hardswish leaky_relu elu hardtanh",
    ),
    ("kernels.functions", TORCH_TOP, "rsqrt erf clamp"),
    ("kernels.functions", OWN, "astype"),
)


def _rows(groups: tuple[tuple[str, str, str], ...], elementwise: bool) -> Iterator[Row]:
    for module, follows, names in groups:
        for item in names.split():
            name, _, function = item.partition("=")
            yield Row(name, module, follows, function or name, elementwise)


def rows() -> tuple[Row, ...]:
    """Every operator that comes with the package."""
    return (*_rows(_GROUPS, False), *_rows(_ELEMENTWISE, True))
