"""Runs a stored xnor network on packed bits: planned once, then one compiled call from images to logits, no torch.

Each convolution is one pass. While its sums are in registers they are scaled, normalised, added to the shortcut, stored
where a later layer wants floats, and packed where the next one wants bits. Activations are channels-last throughout.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore.architecture import IMAGE_CHANNELS, IMAGE_SIZE, Conv
from cfcore.checkpoint import Checkpoint
from cfcore.config import FLOAT_BITS
from cfcore.errors import ConfigError, DataError
from cfcore.kernels import ConvShape, Threads, prepare_filters
from cfcore.kernels.job import MAXIMA, TOTALS
from cfcore.kernels.network import Affine, After, Bits, Block, Floats, Planner, run


@contextmanager
def _without_collector() -> Iterator[None]:
    """The compiler makes millions of objects that stay; looking for garbage among them would take much of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class PackedNetwork:
    """The network of a checkpoint; call it with normalised images, from as many threads at once as you like.

    threads  share out the images of a call

    Raises ConfigError for a network whose activations are float (nothing can be counted bitwise then), or that uses the
    K map, which is float work for every window.
    """

    def __init__(self, checkpoint: Checkpoint, threads: int = 1) -> None:
        configuration = checkpoint.configuration
        if not configuration.counts_bits:
            raise ConfigError(
                f"{configuration.name} cannot run packed: that needs method xnor without the K map. "
                "Use engine simulated."
            )
        self.configuration = configuration
        self.architecture = checkpoint.architecture
        self._plan = _Plan(checkpoint)
        self._threads = Threads(threads)
        self._idle: list[Block] = []  # a call takes one for each of its threads, and leaves it for the next
        self._lock = Lock()
        with _without_collector():  # compile now, not at the first request
            self(np.zeros((0, IMAGE_SIZE, IMAGE_SIZE, IMAGE_CHANNELS), np.float32))

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N, 10] of images float32 [N, 32, 32, 3]. Raises DataError for another shape or type."""
        expected = (IMAGE_SIZE, IMAGE_SIZE, IMAGE_CHANNELS)
        if not isinstance(images, np.ndarray):
            raise DataError(f"Images of type {type(images).__name__} do not fit: give a float32 array [N, 32, 32, 3].")
        if images.ndim != 4 or images.shape[1:] != expected:
            raise DataError(f"Images of shape {images.shape} do not fit: this network takes [N, 32, 32, 3].")
        if images.dtype != np.float32:
            raise DataError(f"Images of type {images.dtype} do not fit: normalise them to float32 first.")
        if not np.isfinite(images).all():
            raise DataError("Images hold a number that is not finite. Check how they were made.")
        images = np.require(images, requirements=("C", "W"))  # what the loops are compiled for
        logits = np.empty((len(images), self.architecture.classes), np.float32)

        def classify(first: int, last: int) -> None:
            with self._block() as block:
                run(images, block, logits, first, last)

        self._threads.share(len(images), classify)
        return logits

    @contextmanager
    def _block(self) -> Iterator[Block]:
        with self._lock:
            block = self._idle.pop() if self._idle else None
        block = block or self._plan.block()
        try:
            yield block
        finally:
            with self._lock:
                self._idle.append(block)


class _Plan:
    """The jobs of a network, in order, and the place of everything that they pass on."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint, self.convs = checkpoint, checkpoint.architecture.convs
        self.planner = Planner()
        tensors, network = checkpoint.tensors, checkpoint.architecture
        self.norms: list[Affine] = [
            (tensors[f"norms.{i}.scale"], tensors[f"norms.{i}.shift"]) for i in range(len(network.norms))
        ]
        self.entry = self.planner.bits(conv_shape(self.convs[0], FLOAT_BITS, FLOAT_BITS), IMAGE_SIZE, IMAGE_SIZE)
        if network.family == "vgg":
            features = self._vgg()
        elif network.block == "basic":
            features = self._average(self._resnet_basic())
        else:
            features = self._average(self._resnet_binary())
        self.logits = self._classify(features)

    def block(self) -> Block:
        """Memory for one more caller."""
        return Block(self.planner, self.entry, self.logits)

    # ---- the networks --------------------------------------------------------------------------------------------

    def _vgg(self) -> Floats:
        """Convolution, pool where there is one, norm."""
        bits = self._input(1, self.norms[0])
        self._convolve(self.entry, 0, bits=bits)
        for i, (conv, norm) in enumerate(zip(self.convs[1:-1], self.norms[1:], strict=False), 1):
            following = self._input(i + 1, norm)
            if conv.pool:
                whole = self._output(i)
                self._convolve(bits, i, out=whole)
                self.planner.pool(whole, 2, After(bits=following), MAXIMA)
            else:
                self._convolve(bits, i, bits=following)
            bits = following
        last = len(self.convs) - 1
        whole = self._output(last)
        self._convolve(bits, last, out=whole)
        return self._pooled(whole, 2 if self.convs[last].pool else 1, MAXIMA, norm=self.norms[-1], rectify=True)

    def _resnet_basic(self) -> Floats:
        """Two convolutions a block, each with a norm; the shortcut is rectified, the packed bits are not."""
        x, bits = self._output(0), self._input(1)
        self._convolve(self.entry, 0, norm=self.norms[0], out=x, rectify=True, bits=bits)
        for i in range(1, len(self.convs), 2):
            inner, shortcut = self._input(i + 1, self.norms[i]), self._shortcut(x, i)
            self._convolve(bits, i, bits=inner)
            x, bits = self._output(i + 1, x), self._input(i + 2)
            self._convolve(inner, i + 1, norm=self.norms[i + 1], residual=shortcut, out=x, rectify=True, bits=bits)
        return x

    def _resnet_binary(self) -> Floats:
        """Norm, sign, convolution, shortcut, PReLU; a norm at the end."""
        x, bits = self._output(0), self._input(1, self.norms[0])
        self._convolve(self.entry, 0, out=x, bits=bits)
        for i in range(1, len(self.convs)):
            source, shortcut = bits, self._shortcut(x, i)
            x, bits = self._output(i, x), self._input(i + 1, self.norms[i])
            slope = float(self.checkpoint.tensors["slopes"][i - 1])
            self._convolve(source, i, residual=shortcut, slope=slope, out=x, bits=bits)
        return self._pooled(x, 1, MAXIMA, norm=self.norms[-1], rectify=True)

    # ---- their parts ---------------------------------------------------------------------------------------------

    def _input(self, i: int, norm: Affine | None = None) -> Bits | None:
        """Room for the packed input of convolution i, if there is one."""
        if i == len(self.convs):
            return None
        conv, configuration = self.convs[i], self.checkpoint.configuration
        shape = conv_shape(conv, configuration.weight_bits, configuration.activation_bits)
        return self.planner.bits(shape, conv.size, conv.size, self._step(conv), norm)

    def _output(self, i: int, like: Floats | None = None) -> Floats:
        """Room for the floats of convolution i; the same again where there is room of that size: each pixel of a
        shortcut is read before the sum takes its place."""
        conv = self.convs[i]
        if like and (like.height, like.channels) == (conv.output_size, conv.filters):
            return like
        return self.planner.floats(conv.output_size, conv.output_size, conv.filters)

    def _shortcut(self, x: Floats, i: int) -> Floats:
        """x as it is added to the output of convolution i: averaged over 2x2 where that is half the size.

        Channels that x lacks are 0: the room for them starts so, and nobody writes there.
        """
        conv = self.convs[i]
        if x.height == conv.output_size:
            return x
        shortcut = self.planner.floats(conv.output_size, conv.output_size, conv.filters)
        self.planner.pool(x, 2, After(scale=np.full(x.channels, 0.25, np.float32), out=shortcut), TOTALS)
        return shortcut

    def _convolve(self, source: Bits | None, i: int, **after: Any) -> None:
        """Convolution i. A quantized one is scaled by α of each filter, times the step of its activations."""
        assert source
        conv = self.convs[i]
        if not conv.quantized:
            weights = self.checkpoint.tensors[f"{conv.name}.weight"]
            self.planner.convolve(source, prepare_filters(weights, source.shape), After(**after))
            return
        scale = self.checkpoint.filter_scales(conv) * np.float32(self._step(conv))
        filters = prepare_filters(self.checkpoint.levels(conv), source.shape)
        self.planner.convolve(source, filters, After(scale=scale, **after))

    def _step(self, conv: Conv) -> float:
        stored = self.checkpoint.tensors.get(f"{conv.name}.step")
        return 1.0 if stored is None else float(stored[0])

    def _pooled(self, x: Floats, kernel: int, kind: int, **after: Any) -> Floats:
        out = self.planner.floats(x.height // kernel, x.width // kernel, x.channels)
        self.planner.pool(x, kernel, After(out=out, **after), kind)
        return out

    def _average(self, x: Floats) -> Floats:
        """The mean over all pixels."""
        scale = np.full(x.channels, 1 / (x.height * x.width), np.float32)
        return self._pooled(x, x.height, TOTALS, scale=scale)

    def _classify(self, features: Floats) -> Floats:
        """The classifier: a convolution whose kernel covers its input, with a bias."""
        weight, bias = (self.checkpoint.tensors[f"head.{name}"] for name in ("weight", "bias"))
        size, classes = features.height, self.checkpoint.architecture.classes
        shape = ConvShape(features.row, classes, size, 1, 0, FLOAT_BITS, FLOAT_BITS)
        filters = np.zeros((classes, features.row, size, size), np.float32)
        filters[:, : features.channels] = weight.reshape(classes, features.channels, size, size)
        logits = self.planner.floats(1, 1, classes)
        source = Bits(features.place, shape, size, size)
        ones = np.ones(classes, np.float32)
        self.planner.convolve(source, prepare_filters(filters, shape), After(norm=(ones, bias), out=logits))
        return logits


def conv_shape(conv: Conv, weight_bits: int, activation_bits: int) -> ConvShape:
    """A convolution as the kernels know it."""
    return ConvShape(conv.channels, conv.filters, conv.kernel, conv.stride, conv.padding, weight_bits, activation_bits)
