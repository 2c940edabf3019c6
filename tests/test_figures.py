"""Figures show what the records hold, and carry their own look."""

import pytest
from drawing import brings_its_own_look

from app.figures import accuracy, scaling, speed
from app.figures.accuracy import Score
from app.figures.look import LIGHT
from cfcore.sharing import SharedLayer
from cfcore.timings import Benchmark

RAGGED = (
    SharedLayer("convs.1", 9, (0.5,), ((0, 1, 2),), None),
    SharedLayer("convs.2", 9, (0.25, 0.125, 1.0), ((0, 1), (2, 3), (4,)), None),
)


def row(backend: str, stage: str, microseconds: float, layer: str = "64,8,64,3,1") -> dict[str, object]:
    return {
        "layer": layer,
        "batch": 1,
        "backend": backend,
        "stage": stage,
        "threads": 2,
        "median_s": microseconds * 1e-6,
        "p10_s": microseconds * 0.9e-6,
        "p90_s": microseconds * 1.2e-6,
        "runs": 30,
        "gmacs": 1.0,
        "speedup_vs_fp32": 40 / microseconds,
        "of_port_bound": None,
        "matches_reference": True,
    }


DOCUMENT = {
    "machine": {"cpu": "A CPU", "cores": 2, "vectors": "512-bit", "python": "3", "torch": "2", "numba": "0"},
    "weight_bits": 1,
    "activation_bits": 1,
    "threads": 2,
    "port_bound": 1.0,
    "jit_s": 0.0,
    "notes": ["A note."],
    "rows": [
        row("torch-int8", "layer", 5),
        row("packed", "layer", 10),
        row("torch-fp32", "layer", 40),
        row("packed", "product", 4),
        row("torch-fp32", "layer", 99, layer="256,14,256,3,1"),
    ],
}


def measurement() -> Benchmark:
    found = Benchmark.from_dict(DOCUMENT).of_layer("64,8,64,3,1")
    assert found is not None
    return found


def test_the_heatmap_is_blank_beyond_a_layers_last_group() -> None:
    cells, _ = scaling.heatmap(RAGGED, "convs.2", 1).data
    assert [list(line) for line in cells.z] == [[0.5, None, None], [0.25, 0.125, 1.0]]
    assert list(cells.y) == ["convs.1", "convs.2"]


def test_the_heatmap_outlines_the_chosen_layer_only_as_far_as_it_goes() -> None:
    outline, *_ = scaling.heatmap(RAGGED, "convs.1", 0).layout.shapes
    assert (outline.x0, outline.x1, outline.y0, outline.y1) == (-0.5, 0.5, -0.5, 0.5)


def test_accuracies_have_the_spread_of_their_sample() -> None:
    scores = [Score("float", 90.0, 10_000), Score("m = 16", 80.0, 1_000, chosen=True)]
    (dots,) = accuracy.comparison(scores).data
    assert list(dots.x) == [90.0, 80.0]
    assert list(dots.y) == ["float", "m = 16"]
    assert list(dots.error_x.array) == pytest.approx(
        [196 * (0.9 * 0.1 / 10_000) ** 0.5, 196 * (0.8 * 0.2 / 1000) ** 0.5]
    )
    assert list(dots.marker.color) == [LIGHT.other, LIGHT.main]


def test_only_the_rows_of_the_layer_are_read() -> None:
    assert [t.median_s for t in measurement().rows] == pytest.approx([5e-6, 10e-6, 40e-6, 4e-6])
    assert measurement().machine.cpu == "A CPU"
    assert measurement().threads == 2
    assert Benchmark.from_dict(DOCUMENT).of_layer("1,1,1,1,1") is None


def test_what_beats_the_packed_kernel_is_known() -> None:
    assert [t.backend for t in measurement().faster_than_packed()] == ["torch-int8"]


def test_times_are_in_microseconds_with_their_spread() -> None:
    figure = speed.speed(measurement())
    layers, products = [bar for bar in figure.data if bar.type == "bar"]
    assert list(layers.y) == ["packed bits", "torch fp32", "torch int8"]
    assert list(layers.x) == pytest.approx([10, 40, 5])
    assert list(layers.error_x.array) == pytest.approx([2, 8, 1])
    assert list(layers.error_x.arrayminus) == pytest.approx([1, 4, 0.5])
    assert list(products.x) == pytest.approx([4])
    assert "4.0×" in next(mark for mark in figure.data if mark.type == "scatter").text[0]


@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_brings_its_own_look(dark: bool) -> None:
    brings_its_own_look(
        lambda: (
            scaling.heatmap(RAGGED, "convs.1", 0, dark),
            accuracy.comparison([Score("float", 90.0, 10_000)], dark),
            speed.speed(measurement(), dark),
        ),
        dark,
    )
