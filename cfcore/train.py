"""Training: data, network, optimiser, loop. It yields an event a step and can be stopped and resumed at any epoch."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfcore.config import Recipe
from cfcore.data import Augmenter, normalise
from cfcore.errors import bad_value
from cfcore.images import Images
from cfcore.kernels.machine import this_machine
from cfcore.models import Network, calibrate_steps, reestimate_batch_norm
from cfcore.runfiles import State

Forward = Callable[[Tensor], Tensor]

CALIBRATION_IMAGES = 250  # training images that set the first activation steps
STATISTICS_IMAGES = 10_000  # training images that set the final batch statistics, unaugmented, in float32


@dataclass(frozen=True)
class Event:
    """Where training stands: after a step, or after an epoch, when `accuracy` (top-1, %, test set) is known too."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_second: float
    seconds_left: float
    accuracy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def train(
    network: Network,
    recipe: Recipe,
    training: Images,
    test: Images,
    folder: Path,
    teacher: Network | None = None,
    device: str = "cpu",
) -> Iterator[Event]:
    """Train `network` in place, yielding events; closing the iterator cancels it.

    `folder` keeps last.pt, written after every epoch and picked up by the next call with the same configuration and
    recipe. At the end the batch statistics are re-estimated in float32. Raises CheckpointError where last.pt belongs
    to another run.
    """
    if recipe.scaling == "learned":
        network.learn_scales()
    generator = torch.Generator().manual_seed(recipe.seed)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if teacher is not None:
        teacher.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    source = Augmenter(training, device)
    optimiser = _optimiser(network, recipe)
    torch.compiler.reset()  # else, after a few runs of one process, nothing more is compiled
    fast_network, fast_teacher = _compiled(network), teacher and _compiled(teacher)
    check_batch_size(recipe, len(training))
    steps = len(training) // recipe.batch_size
    quantized_from = min(math.ceil(recipe.activations_first * recipe.epochs), recipe.epochs - 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: _schedule(i / (steps * recipe.epochs), recipe))
    state = State(folder / "last.pt", network, recipe, optimiser, schedule, generator)
    first_epoch, seconds_before = state.resume()
    fresh = [conv for conv in network.quantized_convs() if hasattr(conv, "step") and conv.step.item() == 1]
    if fresh and not first_epoch:
        calibrate_steps(fresh, network, normalise(training.first(CALIBRATION_IMAGES).pixels, device))

    started = time.perf_counter()
    for epoch in range(first_epoch, recipe.epochs):
        for conv in network.quantized_convs():
            conv.weights_float = epoch < quantized_from
        if epoch == quantized_from > 0:
            network.regroup()  # the weights have been on their own: groups and scales are fitted anew
        network.train()
        order = torch.randperm(len(training), generator=generator)
        mean_loss = 0.0
        for step in range(steps):
            network.refine_scales()
            index = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            images, labels = source.batch(index, generator)
            with torch.autocast(device, torch.bfloat16, enabled=recipe.precision == "bf16"):
                loss = _loss(fast_network, images, labels, fast_teacher, recipe)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            mean_loss += (loss.item() - mean_loss) / (step + 1)
            done = (epoch - first_epoch) * steps + step + 1
            per_step = (time.perf_counter() - started) / done
            left = per_step * ((recipe.epochs - first_epoch) * steps - done)
            event = Event(epoch + 1, recipe.epochs, step + 1, steps, mean_loss, recipe.batch_size / per_step, left)
            if step + 1 < steps:
                yield event
        if epoch + 1 == recipe.epochs:
            if recipe.scaling == "learned":
                network.resize()
            images = normalise(training.first(STATISTICS_IMAGES).pixels, device)
            reestimate_batch_norm(network, images)
        accuracy = test_accuracy(network, test, device)
        state.save(epoch + 1, seconds_before + time.perf_counter() - started, machine_name(device))
        yield Event(**{**event.to_dict(), "accuracy": accuracy})


def check_batch_size(recipe: Recipe, images: int) -> None:
    """Refuse steps of more images than there are."""
    if recipe.batch_size > images:
        raise bad_value("batch_size", recipe.batch_size, f"at most {images}, the training images", "Choose less.")


def machine_name(device: str) -> str:
    """What kind of machine trains: its accelerator, or its processor and cores."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    machine = this_machine()
    return f"{machine.cpu}, {machine.cores} cores"


def _compiled(network: Network) -> Forward:
    """The network, its elementwise passes fused where a C++ compiler is at hand."""
    return torch.compile(network) if shutil.which("g++") or shutil.which("clang++") else network


def _loss(network: Forward, images: Tensor, labels: Tensor, teacher: Forward | None, recipe: Recipe) -> Tensor:
    logits = network(images).float()
    loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    if teacher is None or not recipe.distill:
        return loss
    with torch.no_grad():
        target = teacher(images).float().softmax(1)
    return (1 - recipe.distill) * loss + recipe.distill * F.cross_entropy(logits, target)


def _optimiser(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    decayed = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    chosen = {id(p) for p in decayed}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, recipe.learning_rate, fused=True)
    return torch.optim.SGD(groups, recipe.learning_rate, momentum=0.9, nesterov=True)


def _schedule(progress: float, recipe: Recipe) -> float:
    """Share of the peak learning rate: linear up, then half a cosine down to 0."""
    if progress < recipe.warmup:
        return min(1.0, max(progress, 1e-3) / recipe.warmup)
    rest = max(1 - recipe.warmup, 1e-9)  # a warm-up of the whole training ends at the peak
    return 0.5 * (1 + math.cos(math.pi * (progress - recipe.warmup) / rest))


@torch.no_grad()
def test_accuracy(network: Network, images: Images, device: str = "cpu") -> float:
    """Top-1 in %, in float32, with the network as it stands."""
    network.eval()
    labels = torch.from_numpy(images.labels).to(device)
    batches = zip(normalise(images.pixels, device).split(500), labels.split(500), strict=True)
    correct = sum(int((network(x).argmax(1) == y).sum()) for x, y in batches)
    return 100 * correct / len(images)
