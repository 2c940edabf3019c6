"""Whole networks: images in, logits out, the packed runtime beside the float network in torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cfcore.architecture import architecture
from cfcore.bench.rounds import Case, Contender, Progress, close, run_cases, whole
from cfcore.checkpoint import Checkpoint
from cfcore.config import Configuration
from cfcore.data import load_test_set, normalise
from cfcore.errors import CheckpointError
from cfcore.evaluate import obtain
from cfcore.export import pack_network, unpack_network
from cfcore.kernels import Threads
from cfcore.manifest import find
from cfcore.models import Network, reestimate_batch_norm
from cfcore.runtime import PackedNetwork
from cfcore.timings import Benchmark

MAX_BATCH = 256
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 1e-1}  # of the largest logit, after some twenty layers
STATISTICS_IMAGES = 100


def bench_network(
    configuration: Configuration,
    batch: int = 1,
    threads: int = 1,
    runs: int = 30,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Benchmark:
    """Time a batch of test images through the packed network, and through the float network in torch, in fp32 and bf16.

    Of each type of torch's the fastest way is reported: contiguous or channels-last, as it is or frozen (which folds
    batch norm into the convolutions). Where no network of the configuration is shipped, weights are random: that
    changes the answers, and not the time.

    Raises ConfigError where the network cannot run packed, Cancelled.
    """
    whole("batch", batch, MAX_BATCH)
    shipped, floats = _network(configuration), _network(configuration.float_reference)
    network = architecture(configuration)
    macs = sum(conv.macs for conv in network.convs) + network.features * network.classes

    def prepare(pool: Threads, notes: list[str]) -> list[Contender]:
        if find(configuration) is None:
            notes.append(f"The weights are random: no network of {configuration.name} is shipped.")
        images = normalise(load_test_set().pixels[:batch])
        return [_packed(shipped, images, pool), *_torch(floats, images)]

    bits = configuration.weight_bits, configuration.activation_bits
    case = Case(configuration.model, batch, macs * batch, prepare)
    return run_cases([case], bits, threads, runs, partial(PackedNetwork, shipped), progress, cancelled)


def _network(configuration: Configuration) -> Checkpoint:
    """The shipped network, else one of random weights."""
    try:
        return obtain(configuration)
    except CheckpointError:
        torch.manual_seed(0)
        network = Network(configuration)
        reestimate_batch_norm(network, normalise(load_test_set().pixels[:STATISTICS_IMAGES]))
        return pack_network(network)


def _packed(checkpoint: Checkpoint, images: Tensor, pool: Threads) -> Contender:
    """Right where it answers as the simulated network does."""
    x = images.permute(0, 2, 3, 1).contiguous().numpy()
    call = partial(PackedNetwork(checkpoint, pool.count), x)
    simulated = unpack_network(checkpoint)(images)
    return Contender("packed", "network", call, bool((torch.from_numpy(call()).argmax(1) == simulated.argmax(1)).all()))


def _torch(checkpoint: Checkpoint, images: Tensor) -> list[Contender]:
    exact = unpack_network(checkpoint).double()(images.double())
    contenders = []
    for dtype, layout in itertools.product(TOLERANCE, (torch.contiguous_format, torch.channels_last)):
        network: Any = unpack_network(checkpoint)
        network.to(dtype=dtype, memory_format=layout)
        x = images.to(dtype=dtype, memory_format=layout)
        frozen, rewritten = (torch.jit.freeze(torch.jit.trace(network, x)) for _ in range(2))
        for way in (network, frozen, torch.jit.optimize_for_inference(rewritten)):  # which changes what it is given
            for _ in range(3):
                result = way(x)  # the first calls of what is traced compile it
            backend = "torch-fp32" if dtype == torch.float32 else "torch-bf16"
            contenders.append(Contender(backend, "network", partial(way, x), close(result, exact, TOLERANCE[dtype])))
    return contenders
