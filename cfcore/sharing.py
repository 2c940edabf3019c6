"""What sharing costs a network: its scaling factors, those that its filters would have alone, and the error between.

numpy alone at one bit, where everything has a closed form, so that the explorer's server has it at once. More bits are
searched by `quantize`, which is torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore import manifest
from cfcore.architecture import Conv, architecture
from cfcore.checkpoint import Checkpoint
from cfcore.config import ORDERS, Configuration, GroupSize, check_group_size, check_order, shared_by
from cfcore.errors import CheckpointError, bad_value
from cfcore.latent import Latent, find_latent, learned_scaling
from cfcore.manifest import PRETRAINED
from cfcore.options import spelled

Array = NDArray[Any]
Solver = Callable[[Array], tuple[Array, Array]]
"""Groups [F] -> the best factor of each group [G], and the squared error of each filter with it [F]."""


@dataclass(frozen=True)
class Fit:
    """The scaling factors that are best for a layer's latent weights W, for each filter alone and shared.

    own        α_f of each filter [F]
    shared     ᾱ of each group [G]
    alone      squared error |W_f - α_f·q|² of each filter [F]
    added      what sharing adds to it [F]; at one bit n·(α_f - ᾱ)²
    whole      what that is a percentage of [F]: `alone`; where the factors were learned, |α_f·q|² = n·α_f², as training
               then used no more of W than its signs, so that |W_f - α_f·q|² has no meaning
    by_order   what sharing adds in the whole layer, by order of the filters
    """

    own: tuple[float, ...]
    shared: tuple[float, ...]
    alone: tuple[float, ...]
    added: tuple[float, ...]
    whole: tuple[float, ...]
    by_order: dict[str, float]


@dataclass(frozen=True)
class SharedLayer:
    """The scaling factors of one layer.

    n        weights of a filter
    alphas   as the network uses them [G]
    members  the filters of each group, by number
    fit      none where the latent weights are not known
    """

    layer: str
    n: int
    alphas: tuple[float, ...]
    members: tuple[tuple[int, ...], ...]
    fit: Fit | None

    def added(self, group: int | None = None) -> float:
        """The squared error that sharing adds to one group, or to the layer. Only with a fit."""
        assert self.fit is not None
        return sum(self.fit.added[f] for f in self._filters(group))

    def alone(self, group: int | None = None) -> float:
        """The squared error of one group, or of the layer, with a factor for each filter. Only with a fit."""
        assert self.fit is not None
        return sum(self.fit.alone[f] for f in self._filters(group))

    def whole(self, group: int | None = None) -> float:
        """What the percentages of one group, or of the layer, are of. Only with a fit."""
        assert self.fit is not None
        return sum(self.fit.whole[f] for f in self._filters(group))

    def increase(self, group: int | None = None) -> float:
        """By how many % sharing makes the error larger, or changes learned weights; 0 where there is nothing to compare
        with.
        """
        return _percent(self.added(group), self.whole(group))

    def increase_by_order(self, order: str) -> float:
        """The same of the whole layer, with the filters in this order."""
        assert self.fit is not None
        return _percent(self.fit.by_order[order], self.whole())

    def _filters(self, group: int | None) -> tuple[int, ...]:
        return self.members[group] if group is not None else tuple(f for of in self.members for f in of)


@dataclass(frozen=True)
class Factors:
    """The scaling factors of a network.

    latent   the file that the latent weights are from, "" where they are not known
    learned  whether the factors were learned by gradient (XNOR-Net++), rather than fitted to the latent weights
    """

    configuration: Configuration
    latent: str
    learned: bool
    layers: tuple[SharedLayer, ...]

    def layer(self, name: str) -> SharedLayer:
        return next(layer for layer in self.layers if layer.layer == name)

    def increase_by_order(self, order: str) -> float:
        """`SharedLayer.increase_by_order` of all layers together. Only with fits."""
        added = sum(layer.fit.by_order[order] for layer in self.layers if layer.fit)
        return _percent(added, sum(layer.whole() for layer in self.layers))

    def to_dict(self) -> dict[str, Any]:
        """The configuration's fields, and one row a layer."""
        return {
            **self.configuration.to_dict(),
            "latent": self.latent,
            "learned": self.learned,
            "layers": [asdict(layer) for layer in self.layers],
        }


def factors(
    configuration: Configuration, folder: Path = PRETRAINED, progress: Callable[[float], None] | None = None
) -> Factors:
    """The scaling factors of a configuration: those of the shipped network where it was trained, else fitted now to
    the float network.

    Raises ConfigError for a float network, CheckpointError where nothing is shipped that has them.
    """
    if configuration.method == "float":
        raise bad_value("method", "float", "binary-weight or xnor", "A float network has no scaling factors.")
    stored = None
    if configuration.source == "trained":
        stored = manifest.load(manifest.shipped(configuration, folder), folder)
    latent = find_latent(configuration, folder)
    if stored is None and latent is None:
        floats = configuration.float_reference
        raise CheckpointError(f"No trained {floats.name} is shipped to quantize. Train one: {spelled('train', floats)}")
    return network_factors(configuration, stored, latent, progress)


def network_factors(
    configuration: Configuration,
    stored: Checkpoint | None,
    latent: Latent | None,
    progress: Callable[[float], None] | None = None,
) -> Factors:
    """`factors` of a trained network, of latent weights, or of both."""
    convs = [conv for conv in architecture(configuration).convs if conv.quantized]
    learned = latent.learned if latent else stored is not None and learned_scaling(stored.origin)
    layers = []
    for done, conv in enumerate(convs):
        if progress:
            progress(done / len(convs))
        weight = latent.tensors[f"{conv.name}.weight"] if latent else None
        layers.append(_layer(configuration, conv, stored, weight, learned))
    return Factors(configuration, latent.file.name if latent else "", learned, tuple(layers))


def _layer(
    configuration: Configuration, conv: Conv, stored: Checkpoint | None, weight: Array | None, learned: bool
) -> SharedLayer:
    m, bits = configuration.group_size, configuration.weight_bits
    groups = stored.group_of(conv) if stored else None
    fit = None
    if weight is not None:
        groups = group_of(magnitudes(weight), m, configuration.order) if groups is None else groups
        fit = fit_layer(weight, groups, bits, m, learned)
    assert groups is not None  # one of the two is there
    alphas = stored.tensors[f"{conv.name}.scales"].tolist() if stored else fit.shared if fit else ()
    members = tuple(tuple(np.flatnonzero(groups == g).tolist()) for g in range(len(alphas)))
    return SharedLayer(conv.name, conv.weights_per_filter, tuple(alphas), members, fit)


# ---- the mathematics


def magnitudes(weight: Array) -> Array:
    """mean|W_f|, `scaling.filter_scales` in numpy. weight [F, ...] -> [F]"""
    return np.abs(weight.reshape(len(weight), -1)).mean(1, dtype=np.float64)


def group_of(magnitude: Array, group_size: GroupSize, order: str = "index") -> Array:
    """The group of each filter, `scaling.assign_groups` in numpy. mean|W_f| [F] -> [F]

    >>> group_of(np.array([0.1, 0.9, 0.2, 0.8, 0.5]), 2, "sorted").tolist()
    [2, 0, 1, 0, 1]
    """
    check_group_size(group_size)
    position = np.arange(len(magnitude))
    if check_order(order) == "sorted":
        position[np.argsort(-magnitude, kind="stable")] = np.arange(len(magnitude))
    return position // shared_by(group_size, len(magnitude))


def quantized(weight: Array, alpha: Array, bits: int) -> Array:
    """Ŵ = α·q, `quantize.weight_levels` times α in numpy. weight [F, ...], alpha [F] -> like weight.

    >>> quantized(np.array([[-5.0, -0.1, 0.0, 1.9, 2.1]]), np.array([1.0]), 2).tolist()
    [[-3.0, -1.0, 1.0, 1.0, 3.0]]
    """
    top = 2**bits - 1
    alpha = alpha.reshape(-1, *[1] * (weight.ndim - 1))
    return alpha * np.clip(2 * np.floor(weight / (2 * alpha)) + 1, -top, top)


def fit_layer(weight: Array, groups: Array, bits: int, group_size: GroupSize, learned: bool = False) -> Fit:
    """The best factors of each filter and of each group, and what sharing adds. weight [F, C, kh, kw], groups [F]

    learned  whether mean|W_f| is a factor that was learned, at one bit
    """
    solve: Solver = _closed_form(weight) if bits == 1 else partial(_searched, weight.astype(np.float32), bits)
    own, alone = solve(np.arange(len(weight)))
    shared, together = solve(groups)
    by_order = {}
    for order in ORDERS:
        cut = group_of(magnitudes(weight), group_size, order)
        errors = together if (cut == groups).all() else solve(cut)[1]
        by_order[order] = float(np.maximum(errors - alone, 0).sum())
    lucky = together < alone  # a search may find for the group what it missed for the filter
    own, alone = np.where(lucky, shared[groups], own), np.minimum(alone, together)
    whole = weight[0].size * own**2 if learned else alone
    added = together - alone
    return Fit(
        own=tuple(own.tolist()),
        shared=tuple(shared.tolist()),
        alone=tuple(alone.tolist()),
        added=tuple(added.tolist()),
        whole=tuple(whole.tolist()),
        by_order=by_order,
    )


def increase_by_size(weight: Array, learned: bool = False) -> dict[int, dict[str, float]]:
    """`SharedLayer.increase` at one bit: for m = 1, 2, 4, … and all filters of a layer, by order. weight [F, C, kh, kw]

    >>> increase_by_size(np.array([1.0, -3.0, 4.0, 4.0]).reshape(2, 2, 1, 1))
    {1: {'index': 0.0, 'sorted': 0.0}, 2: {'index': 200.0, 'sorted': 200.0}}
    """
    filters, magnitude, solve = len(weight), magnitudes(weight), _closed_form(weight)
    own, errors = solve(np.arange(filters))
    alone = errors.sum()
    whole = weight[0].size * (own**2).sum() if learned else alone
    sizes = sorted({2**i for i in range(filters.bit_length()) if 2**i < filters} | {filters})
    return {
        m: {order: _percent(solve(group_of(magnitude, m, order))[1].sum() - alone, whole) for order in ORDERS}
        for m in sizes
    }


def _closed_form(weight: Array) -> Solver:
    """At one bit a group's best factor is the mean of its filters' mean|W_f|, and filter f then has the error

    |W_f - α·sign(W_f)|² = |W_f|² - 2·n·α·α_f + n·α².
    """
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    own, n = np.abs(flat).mean(1), flat.shape[1]
    energy = np.einsum("fn,fn->f", flat, flat)

    def solve(groups: Array) -> tuple[Array, Array]:
        shared = np.maximum(np.bincount(groups, own) / np.bincount(groups), np.finfo(np.float32).tiny)
        alpha = shared[groups]
        return shared, energy - 2 * n * alpha * own + n * alpha**2

    return solve


def _searched(weight: Array, bits: int, groups: Array) -> tuple[Array, Array]:
    import torch  # not above: the explorer's server has none

    from cfcore import quantize

    latent, of, each = torch.from_numpy(weight), torch.from_numpy(groups), torch.arange(len(weight))
    scales = quantize.fit_scales(latent, of, bits)
    return scales.double().numpy(), quantize.group_errors(latent, each, bits, scales[of]).double().numpy()


def _percent(part: float, whole: float) -> float:
    return float(100 * part / whole) if whole > 0 else 0.0
