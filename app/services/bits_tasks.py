"""The worker's task for the bitwise convolution: run a network on a few test images, and look into one layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.services import kept, tasks
from app.services.worker_process import Report
from cfcore.config import Configuration
from cfcore.images import CLASSES

TOGETHER = 10  # neighbouring test images that are run at once, so that going from one to the next needs no worker


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer as it works on images `first`, `first` + 1, …

    pixels   uint8 [N, 32, 32, 3]
    labels   the class of each image, by name
    levels   int8 or uint8 [N, C, H, W]: its quantized input, ±1 at one bit, 0..2^k_a - 1 above
    outputs  float32 [N, F, OH, OW]: torch's float convolution
    planes   uint8 [k_w, F, bytes]: its weights as stored (see `cfcore.checkpoint`)
    alphas   float32 [F]: the scaling factor that each filter uses
    sizes    how many filters use it, by filter
    step     of 2..8-bit activations, else 1
    """

    first: int
    pixels: NDArray[np.uint8]
    labels: tuple[str, ...]
    levels: NDArray[Any]
    outputs: NDArray[np.float32]
    planes: NDArray[np.uint8]
    alphas: NDArray[np.float32]
    sizes: tuple[int, ...]
    step: float


@dataclass(frozen=True)
class LookInside:
    """Run the network on `TOGETHER` test images from `first` on."""

    configuration: Configuration
    layer: str
    first: int
    folder: Path
    kind: str = field(default="inside", compare=False)
    rank: ClassVar[int] = 0

    def run(self, report: Report) -> Layer:
        from cfcore.inside import bitwise_conv, look_inside

        report(0.0, "reading the test images")
        images = tasks.test_set(self.folder)
        some = slice(self.first, self.first + TOGETHER)
        pixels = images.pixels[some]
        report(0.2, "loading the network")
        network = kept.network(self.configuration, self.folder, report)
        conv = bitwise_conv(network, self.layer)
        report(0.8, "running it")
        found = look_inside(network, self.layer, pixels)
        step, groups = network.tensors.get(f"{conv.name}.step"), network.group_of(conv)
        return Layer(
            self.first,
            pixels,
            tuple(CLASSES[label] for label in images.labels[some]),
            found.levels.astype(np.int8 if self.configuration.activation_bits == 1 else np.uint8),
            found.outputs,
            network.tensors[f"{conv.name}.planes"],
            network.filter_scales(conv),
            tuple(np.bincount(groups)[groups].tolist()),
            1.0 if step is None else float(step[0]),
        )
