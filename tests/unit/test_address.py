"""Addresses and facts read straight off arrays agree with what the libraries say."""

import ml_dtypes
import numpy as np
import pytest
import torch

from portkernel.runtime.address import address_of, reader_of


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.zeros((3, 4)),
        lambda: np.zeros((3, 4))[1:, ::-1],
        lambda: np.zeros(()),
        lambda: np.zeros((0, 3)),
        lambda: np.zeros(7, ml_dtypes.bfloat16)[3:],
        lambda: np.broadcast_to(np.float32(1), (5, 5)),
        lambda: np.frombuffer(b"abcdefgh", np.uint8)[3:],
        lambda: np.lib.stride_tricks.as_strided(np.zeros(9), (3, 3), (8, 8)),
    ],
)
def test_numpy(make):
    a = make()
    address, facts = reader_of(np.ndarray)(a)
    assert address == address_of(a) == a.__array_interface__["data"][0]
    assert facts == (a.dtype, a.shape, a.strides, address % 16, a.flags.writeable)


def test_tensors():
    t = torch.zeros(3, 4)[:, 1:]
    address, facts = reader_of(torch.Tensor)(t)
    assert address == t.data_ptr()
    assert facts[:4] == (torch.float32, (3, 3), (4, 1), address % 16)
    with torch.no_grad():
        assert reader_of(torch.nn.Parameter)(torch.nn.Parameter(t)) == (address, facts)
    recorded = t.clone().requires_grad_()
    assert reader_of(torch.Tensor)(recorded)[1][-1]


def test_other_types_have_no_reader():
    class Mine(np.ndarray):
        pass

    class Own(torch.Tensor):
        pass

    assert all(reader_of(kind) is None for kind in (Mine, Own, list, int, np.float32, np.ma.MaskedArray))
    with pytest.raises(RuntimeError):
        reader_of(torch.Tensor)(torch.eye(2).to_sparse())
