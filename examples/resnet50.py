"""ResNet-50: inference and a training step through ``torch.compile(backend="portkernel")``, beside PyTorch.

    pip install "portkernel[examples]"
    python examples/resnet50.py --batch 1 --batch 8

The weights are seeded random numbers, as no trained ones come with a package; the statistics of batch normalisation are
drawn like those of a trained network, so that activations keep their scale. ``strict`` refuses anything that our
operators do not compute. The first run of a shape compiles its kernels, which takes minutes; later runs find them on
the disk.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from measure import relative_error, relative_norm, show_launches, show_time, speed
from torch.nn import functional as F

import portkernel as pk

os.environ.setdefault("HF_HUB_OFFLINE", "1")
Forward = Callable[[torch.Tensor], torch.Tensor]


def make(depths: Sequence[int] = (3, 4, 6, 3), widths: Sequence[int] = (256, 512, 1024, 2048), classes: int = 1000) -> torch.nn.Module:  # fmt: skip
    """transformers' ResNet, 50 layers by default, seeded."""
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    config = ResNetConfig(
        depths=list(depths), hidden_sizes=list(widths), embedding_size=widths[0] // 4, num_labels=classes
    )
    model = ResNetForImageClassification(config)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            with torch.no_grad():
                module.weight.uniform_(0.3, 0.9)
                module.bias.normal_(0, 0.1)
    return model


def forward(model: torch.nn.Module) -> Forward:
    """From images to scores."""
    return lambda images: model(pixel_values=images).logits


def compiled(fn: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """``fn`` on our operators, for each shape anew; what they do not cover is an error."""
    return torch.compile(fn, backend="portkernel", dynamic=False, options={"strict": True})


def infer(model: torch.nn.Module, images: torch.Tensor, backend: str) -> tuple[float, Forward]:
    """The largest relative error of the scores against PyTorch, and the compiled network."""
    model.eval()
    ours = compiled(forward(model))
    with torch.no_grad(), pk.use(backend=backend, strict=True):
        return relative_error(ours(images), forward(model)(images)), ours


def train_step(loss: Callable[..., torch.Tensor], model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:  # fmt: skip
    """Forward, backward, one step of gradient descent. Returns the loss."""
    model.zero_grad()
    value = loss(images, labels)
    value.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.01 * parameter.grad
    return value.detach()


def loss_of(model: torch.nn.Module) -> Callable[..., torch.Tensor]:
    return lambda images, labels: F.cross_entropy(model(pixel_values=images).logits, labels)


@dataclass(frozen=True)
class Training:
    """What one step on our operators gave beside one in PyTorch from the same weights, both in float32.

    ``gradients`` has each parameter's name with the distance of its gradient from that of a float64 step, in the
    Euclidean norm and as a share of the gradient: ours, and PyTorch's own.
    """

    loss: float
    statistics: float
    gradients: tuple[tuple[str, float, float], ...]

    def __str__(self) -> str:
        ours, theirs = ([errors[i] for errors in self.gradients] for i in (1, 2))
        name, mine, other = max(self.gradients, key=lambda g: g[1] / max(g[2], 1e-30))
        return (
            f"loss {self.loss:.1e}, statistics {self.statistics:.1e}\n"
            f"  gradients of {len(ours)} parameters against float64, in norm: median {statistics.median(ours):.1e}, "
            f"largest {max(ours):.1e} (PyTorch's float32: {statistics.median(theirs):.1e}, {max(theirs):.1e})\n"
            f"  furthest behind PyTorch: {mine:.1e} beside {other:.1e}, {name}"
        )


def train(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, backend: str) -> Training:
    """One step on our operators and one in PyTorch from the same weights, compared.

    Gradients of a deep network with random weights amplify rounding: hence PyTorch's own error beside ours.
    """
    model.train()
    peer, exact = copy.deepcopy(model), copy.deepcopy(model).double()
    with pk.use(backend=backend, strict=True):
        mine = train_step(compiled(loss_of(model)), model, images, labels)
    other = train_step(loss_of(peer), peer, images, labels)
    train_step(loss_of(exact), exact, images.double(), labels)
    gradients = (
        (name, relative_norm(p.grad, want.grad), relative_norm(q.grad, want.grad))
        for (name, p), q, want in zip(model.named_parameters(), peer.parameters(), exact.parameters(), strict=True)
    )
    moved = (relative_error(a, b) for a, b in zip(model.buffers(), peer.buffers(), strict=True))
    return Training(relative_error(mine, other), max(moved), tuple(gradients))


def show_inference(model: torch.nn.Module, images: torch.Tensor, backend: str) -> None:
    pk.reset_stats()
    error, ours = infer(model, images, backend)
    show_launches()
    peer = forward(model)
    with torch.no_grad(), pk.use(backend=backend, strict=True):
        print(f"inference, batch {len(images)}: relative error {error:.1e}")
        print(speed("images", len(images), lambda: ours(images), lambda: peer(images)))
        show_time(lambda: ours(images))


def show_training(model: torch.nn.Module, images: torch.Tensor, backend: str) -> None:
    labels = torch.arange(len(images)) % 1000
    print(f"training, batch {len(images)}: {train(model, images, labels, backend)}")
    peer = copy.deepcopy(model)
    ours, theirs = compiled(loss_of(model)), loss_of(peer)

    def mine() -> torch.Tensor:
        return train_step(ours, model, images, labels)

    with pk.use(backend=backend, strict=True):
        print("steps:", speed("images", len(images), mine, lambda: train_step(theirs, peer, images, labels)))
        show_time(mine)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="opencl")
    parser.add_argument("--batch", type=int, action="append", help="1 and 8 by default")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--no-training", action="store_true")
    given = parser.parse_args(arguments)
    for batch in given.batch or (1, 8):
        images = torch.randn(batch, 3, given.size, given.size, generator=torch.Generator().manual_seed(1))
        show_inference(make(), images, given.backend)
        if not given.no_training:
            show_training(make(), images, given.backend)


if __name__ == "__main__":
    main()
