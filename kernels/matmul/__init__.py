"""Products of matrices: one product, batches, thin ones, small ones of great depth, and lists of them."""

from .blocked import combine_kernel, matmul_kernel
from .entries import ENTRIES
from .fused import Fused
from .grouped import grouped_kernel, grouped_matmul, list_kernel, matmul_list
from .operator import matmul
from .thin import columns_kernel, rows_kernel

__all__ = [
    "ENTRIES", "Fused", "columns_kernel", "combine_kernel", "grouped_kernel", "grouped_matmul", "list_kernel", "matmul",
    "matmul_kernel", "matmul_list", "rows_kernel",
]  # fmt: skip
