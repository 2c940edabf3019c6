"""Timings that come with the project: pretrained/bench.json, made by `cfcore bench record`."""

from pathlib import Path
from typing import Any

import streamlit as st

from cfcore.architecture import Conv
from cfcore.timings import Benchmark, Row, layer_name

__all__ = ["Benchmark", "Row", "layer_name", "of_layer", "shipped"]  # records of cfcore, for those above


def of_layer(document: dict[str, Any], layer: str) -> Benchmark | None:
    """The part of a benchmark's JSON document that is about this layer, if any. Raises KeyError, TypeError."""
    return Benchmark.from_dict(document).of_layer(layer)


def shipped(conv: Conv, weight_bits: int, activation_bits: int, folder: Path) -> Benchmark | None:
    """The shipped timing of this shape at these bits, if there is one. Raises CheckpointError for a damaged file."""
    file = folder / "bench.json"
    if not file.is_file():
        return None
    for benchmark in _benchmarks(file, file.stat().st_mtime_ns):
        if (benchmark.weight_bits, benchmark.activation_bits) == (weight_bits, activation_bits):
            found = benchmark.of_layer(layer_name(conv))
            if found:
                return found
    return None


@st.cache_resource(max_entries=4, show_spinner=False)
def _benchmarks(file: Path, changed: int) -> list[Benchmark]:
    return Benchmark.read(file)
