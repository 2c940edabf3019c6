"""Accuracy: how many test images a stored network gets right, computed on packed bits or simulated in torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cfcore import manifest
from cfcore.checkpoint import Checkpoint
from cfcore.comparison import Answers
from cfcore.config import Configuration
from cfcore.data import normalise
from cfcore.errors import CheckpointError, DataError, bad_value
from cfcore.export import post_training, unpack_network
from cfcore.images import Images, check_pixels, load_calibration_set
from cfcore.manifest import PRETRAINED
from cfcore.runtime import PackedNetwork

ENGINES = ("packed", "simulated")
BATCH_SIZE = 100

Progress = Callable[[float], None]
"""Called with the share done, 0 to 1; may raise `Cancelled` to stop."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """accuracy is top-1 in %; seconds are of the network's calls alone.

    predictions  class numbers [images]
    confidences  the probability that the network gives the class it names [images], 0 to 1
    """

    configuration: Configuration
    accuracy: float
    correct: int
    images: int
    seconds: float
    engine: str
    predictions: NDArray[np.int64] = field(repr=False)
    confidences: NDArray[np.float32] = field(repr=False)

    @property
    def answers(self) -> Answers:
        """What a `Comparison` compares."""
        return Answers(self.predictions, self.confidences)

    def to_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("accuracy", "correct", "images", "seconds", "engine")}
        return {**own, **self.configuration.to_dict()}


def obtain(configuration: Configuration, folder: Path = PRETRAINED, progress: Progress | None = None) -> Checkpoint:
    """The network of a configuration: the shipped one where it was trained, else quantized now from the float network.

    Raises NotShippedError where no trained network is shipped, CheckpointError where its file is damaged.
    """
    if configuration.source == "post-training":
        return post_training(
            obtain(configuration.float_reference, folder), configuration, load_calibration_set(folder), progress
        )
    return manifest.load(manifest.shipped(configuration, folder), folder)


def default_engine(configuration: Configuration) -> str:
    """packed where bits can be counted, else simulated."""
    return "packed" if configuration.counts_bits else "simulated"


def evaluate(
    checkpoint: Checkpoint, images: Images, engine: str | None = None, progress: Progress | None = None
) -> Evaluation:
    """Classify the images and count.

    Raises ConfigError for an engine that cannot run it, CheckpointError where a logit is not finite.
    """
    if not len(images):
        raise DataError("There are no images to classify. Choose at least one.")
    engine = default_engine(checkpoint.configuration) if engine is None else engine
    network = _network(checkpoint, engine)
    predictions, confidences, seconds = [], [], 0.0
    for start in range(0, len(images), BATCH_SIZE):
        batch = normalise(images.pixels[start : start + BATCH_SIZE])
        started = time.perf_counter()
        logits = _finite(network(batch))
        seconds += time.perf_counter() - started
        predictions.append(logits.argmax(1))
        confidences.append(softmax(logits).max(1))
        if progress:
            progress(min(1.0, (start + BATCH_SIZE) / len(images)))
    predicted = np.concatenate(predictions)
    correct = int((predicted == images.labels).sum())
    return Evaluation(
        checkpoint.configuration,
        100 * correct / len(images),
        correct,
        len(images),
        seconds,
        engine,
        predicted,
        np.concatenate(confidences),
    )


def classify(checkpoint: Checkpoint, pixels: NDArray[np.uint8], engine: str | None = None) -> NDArray[np.float32]:
    """The probability of each class, for pictures without a label: uint8 [N, 32, 32, 3] -> [N, 10].

    Raises ConfigError for an engine that cannot run it, DataError for other pixels.
    """
    check_pixels(pixels)
    engine = default_engine(checkpoint.configuration) if engine is None else engine
    return softmax(_finite(_network(checkpoint, engine)(normalise(pixels))))


def _finite(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(logits).all():
        raise CheckpointError("The network's logits are not finite numbers, so they name no class. Train it again.")
    return logits


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(z_c) / Σ exp(z), over the last axis; the largest logit is taken off first, so that nothing overflows.

    >>> softmax(np.array([[1000.0, 1000.0]], np.float32)).tolist()
    [[0.5, 0.5]]
    """
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _network(checkpoint: Checkpoint, engine: str) -> Callable[[torch.Tensor], NDArray[np.float32]]:
    """From normalised images to logits [N, 10]."""
    if engine not in ENGINES:
        raise bad_value("engine", engine, "one of " + ", ".join(ENGINES), "Choose simulated for any network.")
    return _packed(checkpoint) if engine == "packed" else _simulated(checkpoint)


def _packed(checkpoint: Checkpoint) -> Callable[[torch.Tensor], NDArray[np.float32]]:
    network = PackedNetwork(checkpoint, torch.get_num_threads())
    return lambda batch: network(batch.permute(0, 2, 3, 1).contiguous().numpy())


def _simulated(checkpoint: Checkpoint) -> Callable[[torch.Tensor], NDArray[np.float32]]:
    network = unpack_network(checkpoint).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def logits(batch: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            return network(batch).numpy()

    return logits
