"""Whole networks: images in, logits out, the packed runtime beside the float network in torch."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfcore.architecture import architecture
from cfcore.bench.rounds import Case, Contender, Rounds, close, run_cases
from cfcore.checkpoint import Checkpoint
from cfcore.config import Configuration, check_whole
from cfcore.data import normalise
from cfcore.errors import ConfigError, NotShippedError
from cfcore.evaluate import obtain
from cfcore.export import pack_network, unpack_network
from cfcore.images import load_test_set
from cfcore.kernels import Threads
from cfcore.manifest import PRETRAINED
from cfcore.models import Network, reestimate_batch_norm
from cfcore.runtime import PackedNetwork
from cfcore.timings import Benchmark

MAX_BATCH = 256
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1}  # of the largest logit, after some twenty layers
STATISTICS_IMAGES = 100
CHECKED_IMAGES, MOST, FARTHEST = 32, 0.8, 0.2


def bench_network(
    configuration: Configuration,
    batch: int = 1,
    threads: int = 1,
    runs: int = 30,
    progress: Rounds | None = None,
    folder: Path = PRETRAINED,
) -> Benchmark:
    """Time a batch of test images through the packed network, and through the float network in torch, in fp32 and bf16.

    Of each type of torch's the fastest way is reported: contiguous or channels-last, as it is or frozen (which folds
    batch norm into the convolutions). Where no network of the configuration is shipped, weights are random: that
    changes the answers, and not the time.

    folder  where shipped networks are looked for

    Raises ConfigError where the network cannot run packed.
    """
    check_whole("batch", batch, MAX_BATCH)
    if not configuration.counts_bits:
        raise ConfigError(
            f"{configuration.name} cannot run packed: that needs method xnor without the K map. Choose method xnor."
        )
    (shipped, known), (floats, floats_known) = (
        _network(c, folder) for c in (configuration, configuration.float_reference)
    )
    network = architecture(configuration)
    macs = sum(conv.macs for conv in network.convs) + network.features * network.classes

    def prepare(pool: Threads, notes: list[str]) -> list[Contender]:
        if not known:
            notes.append(f"The weights were random: no network of {configuration.name} was shipped then.")
        if not floats_known:
            notes.append("The weights of the float network were random too.")
        notes.append("torch's int8 is timed on single layers only.")
        images = normalise(load_test_set(folder).pixels[: max(batch, CHECKED_IMAGES)])
        return [_packed(shipped, images, batch, pool), *_torch(floats, images[:batch])]

    bits = configuration.weight_bits, configuration.activation_bits
    case = Case(configuration.model, batch, macs * batch, prepare)
    return run_cases([case], bits, threads, runs, partial(PackedNetwork, shipped), progress)


def _network(configuration: Configuration, folder: Path) -> tuple[Checkpoint, bool]:
    """The shipped network or the one quantized from float, else one of random weights; whether it is one of those."""
    try:
        return obtain(configuration, folder), True
    except NotShippedError:
        torch.manual_seed(0)
        network = Network(configuration)
        reestimate_batch_norm(network, normalise(load_test_set(folder).pixels[:STATISTICS_IMAGES]))
        return pack_network(network), False


def _packed(checkpoint: Checkpoint, images: Tensor, batch: int, pool: Threads) -> Contender:
    """Right where the logits are those of the simulated network: for most images within rounding, and for none far
    away. An activation within rounding of a threshold may fall on its other side, and changes all that
    follows; above 4 bits, with up to 255 thresholds, this befalls many of the images, also where two simulations
    add up in another order, so a quarter has to do.
    """
    network, x = PackedNetwork(checkpoint, pool.count), images.permute(0, 2, 3, 1).contiguous().numpy()
    simulated = unpack_network(checkpoint)(images).numpy()
    errors = np.abs(network(x) - simulated).max(1) / np.abs(simulated).max()
    most = MOST if checkpoint.configuration.activation_bits <= 4 else 0.25
    matches = bool((errors < TOLERANCE[torch.float32]).mean() > most and errors.max() < FARTHEST)
    return Contender("packed", ("network",), partial(network, x[:batch]), matches)


def _torch(checkpoint: Checkpoint, images: Tensor) -> list[Contender]:
    exact = unpack_network(checkpoint).double()(images.double())
    contenders = []
    for dtype, layout in itertools.product(TOLERANCE, (torch.contiguous_format, torch.channels_last)):
        network: Any = unpack_network(checkpoint)
        network.to(dtype=dtype, memory_format=layout)
        floats = images.to(memory_format=layout)
        x = floats.to(dtype)
        frozen, rewritten = (torch.jit.freeze(torch.jit.trace(network, x)) for _ in range(2))
        for way in (network, frozen, torch.jit.optimize_for_inference(rewritten)):  # which changes what it is given
            for _ in range(3):
                result = way(x)  # the first calls of what is traced compile it
            backend = "torch-fp32" if dtype == torch.float32 else "torch-bf16"
            call = partial(lambda way, x, dtype: way(x.to(dtype)).float(), way, floats, dtype)
            contenders.append(Contender(backend, ("network",), call, close(result, exact, TOLERANCE[dtype])))
    return contenders
