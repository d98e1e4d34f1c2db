"""Tensor parallelism by DTensor and data parallelism by DistributedDataParallel on our operators: two processes, gloo."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
if not torch.distributed.is_available():
    pytest.skip("this PyTorch has no torch.distributed", allow_module_level=True)
import torch.multiprocessing as mp  # noqa: E402
from torch import distributed as dist  # noqa: E402
from torch import nn  # noqa: E402

import portkernel as pk  # noqa: E402
import portkernel.integrations.torch  # noqa: E402  # it defines torch.ops.portkernel

WORLD = 2
ops: Any = torch.ops.portkernel


class Linear(nn.Linear):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return ops.linear(x, self.weight, self.bias)


class Feedforward(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = Linear(6, 8), Linear(8, 4)

    def forward(self, x: Any) -> Any:
        return self.down(ops.gelu(self.up(x)))


def model_and_data() -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    return Feedforward(), torch.randn(4, 6), torch.randn(4, 4)


def loss_of(y: Any, target: Any) -> Any:
    return ((y - target) ** 2).mean()


def start(rank: int, port: int, work: Callable[[int], None]) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=WORLD)
    try:
        with pk.use(backend="numpy", strict=True):
            work(rank)
    finally:
        dist.destroy_process_group()


def spawn(work: Callable[[int], None]) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    context = mp.start_processes(start, (port, work), WORLD, join=False, start_method="spawn")
    for _ in range(12):
        if context.join(timeout=10):
            return
    for process in context.processes:
        process.kill()
    pytest.fail("the processes did not end within 120 s")


def tensor_parallel(rank: int) -> None:
    from torch.distributed.tensor import DTensor, Shard, init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    from portkernel.integrations.torch.library import sharding  # noqa: F401  # DTensor learns of the operators

    alone, x, target = model_and_data()
    loss_of(alone(x), target).backward()

    model, _, _ = model_and_data()
    mesh = init_device_mesh("cpu", (WORLD,))
    model = parallelize_module(model, mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()})
    assert isinstance(model.up.weight, DTensor) and model.up.weight.placements == (Shard(0),)
    assert model.down.weight.placements == (Shard(1),) and model.down.weight.to_local().shape == (4, 4)
    pk.reset_stats()
    y = model(x)
    torch.testing.assert_close(y, alone(x))
    loss_of(y, target).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad.full_tensor(), alone.get_parameter(name).grad)
    stats = pk.stats()
    assert {op for op, _, _ in stats.operators} >= {"linear", "matmul", "sum"} and not stats.fallbacks


def data_parallel(rank: int) -> None:
    alone, x, target = model_and_data()
    plain = torch.optim.SGD(alone.parameters(), lr=0.1)
    model, _, _ = model_and_data()
    replicated = nn.parallel.DistributedDataParallel(model)
    shared = torch.optim.SGD(replicated.parameters(), lr=0.1)
    own = slice(2 * rank, 2 * rank + 2)
    for _ in range(3):
        plain.zero_grad()
        loss_of(alone(x), target).backward()
        plain.step()
        shared.zero_grad()
        loss_of(replicated(x[own]), target[own]).backward()
        shared.step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p, alone.get_parameter(name))


def both(rank: int) -> None:
    tensor_parallel(rank)
    data_parallel(rank)


def test_two_processes() -> None:
    """One start of the processes for both, as it takes longer than either."""
    spawn(both)
