"""Scaling factors, and the weights that they belong to. At one bit all of it is computed at once, without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.figures.weights import AFTER, BEFORE, GroupWeights, Picture
from app.services import networks, snippets
from app.services.scaling_tasks import Search
from cfcore import manifest, sharing
from cfcore.checkpoint import Checkpoint
from cfcore.config import ORDERS, Configuration
from cfcore.latent import Latent, base_name, find_latent, latent_file
from cfcore.sharing import Array, Factors, SharedLayer

__all__ = ["Factors", "Search", "SharedLayer"]  # records of cfcore, for those above

DRAWN_FILTERS = 8  # of a group, and as many input channels of each
BINS = 61
STRONGEST = 0.98  # share of the weights whose colour is not cut off


def has_latent(configuration: Configuration) -> bool:
    """Whether latent weights ship for a configuration."""
    return latent(configuration) is not None


def latent(configuration: Configuration) -> Latent | None:
    """What a network is quantized or fine-tuned from. Shared by all sessions, so none can write to it. Raises
    CheckpointError.
    """
    place = networks.folder()
    return _latent(configuration, place, _stamps(configuration, place))


@st.cache_resource(max_entries=16, show_spinner=False)
def _latent(configuration: Configuration, place: Path, stamps: tuple[int, ...]) -> Latent | None:
    found = find_latent(configuration, place)
    if found is not None:
        networks.freeze(found.tensors.values())
    return found


def _stamps(configuration: Configuration, place: Path) -> tuple[int, ...]:
    """When the files that matter were last changed; 0 for one that is not there."""
    file = latent_file(base_name(configuration), place)
    return manifest.changed(place), file.stat().st_mtime_ns if file.is_file() else 0


def stored(configuration: Configuration) -> Checkpoint | None:
    """The shipped network, where it was trained and there is one. Raises CheckpointError."""
    entry = networks.trained(configuration) if configuration.source == "trained" else None
    return networks.stored(entry) if entry else None


def at_once(configuration: Configuration) -> Factors | None:
    """The factors where no search is needed: at one bit, or where no latent weights are known. Raises CheckpointError.

    None where it takes the worker, or where there is no network to show.
    """
    place = networks.folder()
    found, weights = stored(configuration), latent(configuration)
    if configuration.source == "trained" and found is None:
        return None
    if weights is None and found is None:
        return None
    if weights is not None and configuration.weight_bits > 1:
        return None
    return _factors(configuration, place, _stamps(configuration, place))


@st.cache_resource(max_entries=64, show_spinner=False)
def _factors(configuration: Configuration, place: Path, stamps: tuple[int, ...]) -> Factors:
    return sharing.network_factors(configuration, stored(configuration), latent(configuration))


def added(configuration: Configuration) -> tuple[dict[str, float], Factors | None]:
    """By how many % sharing changes each layer's weights (`SharedLayer.increase`), and the factors that it is from.

    Empty where that is not known at once.
    """
    found = at_once(configuration) if configuration.method != "float" else None
    return {layer.layer: layer.increase() for layer in found.layers if layer.fit} if found else {}, found


def stored_alone(configuration: Configuration) -> Factors | None:
    """The factors of the trained file, without its errors: shown while the worker searches. Raises CheckpointError."""
    found = stored(configuration)
    return sharing.network_factors(configuration, found, None) if found else None


def can_search(configuration: Configuration) -> bool:
    """Whether the worker can fit what is not there at once. Raises CheckpointError."""
    missing = configuration.source == "trained" and stored(configuration) is None
    return not missing and latent(configuration) is not None


def search(configuration: Configuration) -> Search:
    """The worker's task that fits the factors."""
    place = networks.folder()
    return Search(configuration, place, _stamps(configuration, place))


def by_size(configuration: Configuration, layer: str) -> dict[int, dict[str, float]]:
    """`SharedLayer.increase` of a layer, for each m and order. Raises CheckpointError.

    Empty above one bit, where it would take too long, and where the latent weights are not known.
    """
    place = networks.folder()
    return _by_size(configuration.with_group_size(1), layer, place, _stamps(configuration, place))


@st.cache_resource(max_entries=64, show_spinner=False)
def _by_size(
    configuration: Configuration, layer: str, place: Path, stamps: tuple[int, ...]
) -> dict[int, dict[str, float]]:
    weights = latent(configuration) if configuration.weight_bits == 1 else None
    return sharing.increase_by_size(weights.tensors[f"{layer}.weight"], weights.learned) if weights else {}


# ---- the same as rows, to take away


def rows(found: Factors) -> list[dict[str, Any]]:
    """One row a group."""
    return [
        {
            "layer": layer.layer,
            "group": g,
            "filters": " ".join(map(str, layer.members[g])),
            "alpha": alpha,
            **({"shared_fit": layer.fit.shared[g], "added_error": layer.added(g)} if layer.fit else {}),
        }
        for layer in found.layers
        for g, alpha in enumerate(layer.alphas)
    ]


def filter_rows(layer: SharedLayer) -> list[dict[str, Any]]:
    """One row a filter of a layer whose latent weights are known."""
    assert layer.fit is not None
    return [
        {
            "filter": f,
            "group": g,
            "own_alpha": layer.fit.own[f],
            "shared_alpha": layer.fit.shared[g],
            "own_error": layer.fit.alone[f],
            "added_error": layer.fit.added[f],
        }
        for g, filters in enumerate(layer.members)
        for f in filters
    ]


def order_rows(found: Factors) -> list[dict[str, Any]]:
    """One row a layer: `increase_by_order`, in %."""
    return [
        {"layer": layer.layer, **{order: layer.increase_by_order(order) for order in ORDERS}} for layer in found.layers
    ]


def size_rows(costs: dict[int, dict[str, float]]) -> list[dict[str, Any]]:
    """One row a group size: the increase in one layer, in %."""
    return [{"group_size": m, **by_order} for m, by_order in costs.items()]


def picture_rows(picture: Picture, filters: Sequence[int]) -> list[dict[str, Any]]:
    """One row a filter and input channel: its weights by row and column."""
    return [
        {"filter": f, "channel": c, **{f"row {i}, column {j}": w for i, r in enumerate(taps) for j, w in enumerate(r)}}
        for f, channels in zip(filters, picture, strict=True)
        for c, taps in enumerate(channels)
    ]


def count_rows(weights: GroupWeights) -> list[dict[str, Any]]:
    """One row a bar: how many latent weights lie between two numbers, how many quantized ones are equal to one."""
    edges = zip(weights.edges, weights.edges[1:], weights.counts, strict=False)
    levels = zip(weights.levels, weights.levels, weights.level_counts, strict=True)
    return [
        {"weights": which, "from": low, "to": high, "count": count}
        for which, bars in ((BEFORE, edges), (AFTER, levels))
        for low, high, count in bars
    ]


# ---- weights of a group


def group_weights(configuration: Configuration, layer: SharedLayer, group: int) -> GroupWeights:
    """The weights of a group of this layer. Raises CheckpointError."""
    place = networks.folder()
    return _group_weights(configuration, layer.layer, group, place, _stamps(configuration, place), layer)


@st.cache_resource(max_entries=64, show_spinner=False)
def _group_weights(
    configuration: Configuration, name: str, group: int, place: Path, stamps: tuple[int, ...], _layer: SharedLayer
) -> GroupWeights:
    members, alpha = np.array(_layer.members[group]), _layer.alphas[group]
    weights = latent(configuration)
    before = weights.tensors[f"{name}.weight"][members].astype(np.float32) if weights else None
    after = _quantized(configuration, name, members, alpha, before)
    shown = np.arange(len(members))
    if _layer.fit:
        own = np.array(_layer.fit.own)[members]
        shown = np.argsort(-own, kind="stable")
    spread = min(DRAWN_FILTERS, len(shown))  # evenly from the strongest to the faintest
    shown = shown[np.linspace(0, len(shown) - 1, spread).round().astype(int)]
    values, counts = np.unique(after, return_counts=True)
    limit, edges, histogram, kept = float(values.max()), np.array([]), np.array([]), None
    if before is not None:
        limit = max(limit, float(np.quantile(np.abs(before), STRONGEST)))
        widest = max(float(np.abs(before).max()), 1.1 * float(values.max()))
        histogram, edges = np.histogram(before, BINS, (-widest, widest))
        kept = float(((before >= 0) == (after > 0)).mean())
    return GroupWeights(
        filters=tuple(members[shown].tolist()),
        own=tuple(np.array(_layer.fit.own)[members[shown]].tolist()) if _layer.fit else (),
        limit=limit,
        latent=_picture(before, shown) if before is not None else None,
        quantized=_picture(after, shown),
        edges=tuple(edges.tolist()),
        counts=tuple(histogram.tolist()),
        levels=tuple(values.tolist()),
        level_counts=tuple(counts.tolist()),
        kept=kept,
    )


def _quantized(configuration: Configuration, name: str, members: Array, alpha: float, before: Array | None) -> Array:
    """Ŵ of some filters: as stored, else quantized now. -> [len(members), C, kh, kw]"""
    if network := stored(configuration):
        conv = next(conv for conv in network.architecture.convs if conv.name == name)
        return np.float32(alpha) * network.levels(conv)[members]
    assert before is not None  # a network that is not stored is quantized from these
    return sharing.quantized(before, np.full(len(members), alpha, np.float32), configuration.weight_bits)


def _picture(weights: Array, shown: Array) -> Picture:
    drawn = weights[shown, :DRAWN_FILTERS]
    return tuple(tuple(tuple(map(tuple, taps)) for taps in rows) for rows in drawn.tolist())


# ---- to get the same numbers elsewhere


SIZES = """
latent = find_latent(configuration)
if latent is not None:
    print(increase_by_size(latent.tensors[f"{layer.layer}.weight"], latent.learned))  # by group size
"""


def python(configuration: Configuration, layer: str, group: int) -> str:
    """A few lines that print the numbers of the page."""
    sized = configuration.weight_bits == 1  # as `by_size` has them
    imports = "from cfcore.latent import find_latent\nfrom cfcore.sharing import factors, increase_by_size"
    return f'''from cfcore.config import Configuration
{imports if sized else "from cfcore.sharing import factors"}

configuration = {snippets.spelled(configuration)}
found = factors(configuration)
for layer in found.layers:
    print(layer.layer, layer.alphas)
    if layer.fit:  # where the latent weights are known
        print({{order: layer.increase_by_order(order) for order in layer.fit.by_order}})

layer, group = found.layer("{layer}"), {group}
print(layer.alphas[group], layer.members[group])
if layer.fit:
    print([layer.fit.own[f] for f in layer.members[group]], layer.whole(group))
    print(layer.added(group), layer.increase(group))
    print({{order: found.increase_by_order(order) for order in layer.fit.by_order}})  # all layers
{SIZES if sized else ""}'''
