"""The map of where packed bits pay: layers by bits, each cell how many times faster packed is than a rival."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from app.figures.look import finish, look
from app.figures.speed import BACKENDS
from cfcore.crossover import Crossover
from cfcore.timings import Benchmark, conv_of

LIGHT = ("#f2a46f", "#f7f8f9", "#7fbde6")  # loses, as fast, pays: ink on each has a contrast of at least 4.5:1
DARK = ("#8a4a16", "#1d2730", "#0f5f93")
FARTHEST = 3.0  # powers of two from which the colour stays the same


def named(layer: str) -> str:
    """A layer as channels → filters and pixels; kernels are 3×3 unless said.

    >>> named("64,56,64,3,1"), named("32,16,64,3,2"), named("64,8,64,5,1")
    ('64→64, 56×56', '32→64, 16×16, /2', '64→64, 8×8, 5×5')
    """
    conv = conv_of(layer)
    if conv is None:
        return layer
    kernel = "" if conv.kernel == 3 else f", {conv.kernel}×{conv.kernel}"
    stride = "" if conv.stride == 1 else f", /{conv.stride}"
    return f"{conv.channels}→{conv.filters}, {conv.size}×{conv.size}{kernel}{stride}"


def times(crossover: Crossover, against: str | None) -> float | None:
    """How many times faster packed is than a backend, or than its fastest rival; None where that was not timed."""
    return crossover.times_faster.get(against or crossover.rival)


def bits(record: Crossover | Benchmark) -> str:
    return times_bits(record.weight_bits, record.activation_bits)


def times_bits(weight_bits: int, activation_bits: int) -> str:
    """Weight × activation bits, in one piece where a line breaks.

    >>> times_bits(1, 2)
    '1\xa0×\xa02'
    """
    return f"{weight_bits}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{activation_bits}"


def paying(
    found: Sequence[Crossover],
    against: str | None = None,
    chosen: tuple[str, str] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Layers, narrow ones first, by weight × activation bits. The colour follows the logarithm, so that twice as fast
    and half as fast are equally strong.

    against  a backend, or None for whichever is the fastest
    chosen   layer and bits to outline
    """
    colours, scale = look(dark), DARK if dark else LIGHT
    layers = sorted({c.layer for c in found}, key=_by_width)
    columns = list(dict.fromkeys(bits(c) for c in sorted(found, key=lambda c: c.weight_bits * c.activation_bits)))
    cells = {(c.layer, bits(c)): (c, t) for c in found if (t := times(c, against)) is not None}
    grid = [[cells.get((layer, column)) for column in columns] for layer in layers]
    figure = go.Figure(
        go.Heatmap(
            x=columns,
            y=[named(layer) for layer in layers],
            z=[[_shade(cell[1]) if cell else None for cell in row] for row in grid],
            text=[[f"{cell[1]:.2f}×" if cell else "" for cell in row] for row in grid],
            customdata=[[_hover(cell[0]) if cell else "" for cell in row] for row in grid],
            texttemplate="%{text}",
            textfont={"color": colours.ink, "size": 12},
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=[[0, scale[0]], [0.5, scale[1]], [1, scale[2]]],
            zmin=-FARTHEST,
            zmax=FARTHEST,
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    if chosen in cells:
        row, column = layers.index(chosen[0]), columns.index(chosen[1])
        edge = {"color": colours.ink, "width": 2.5}
        figure.add_shape(type="rect", x0=column - 0.5, x1=column + 0.5, y0=row - 0.5, y1=row + 0.5, line=edge)
    figure.update_xaxes(title_text="weight × activation bits", type="category", showgrid=False)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    return finish(figure, colours, height=90 + 27 * len(layers))


def _by_width(layer: str) -> tuple[int, ...]:
    conv = conv_of(layer)
    return (conv.channels, conv.filters, conv.size, conv.stride) if conv else (0,)


def _shade(faster: float) -> float:
    return max(-FARTHEST, min(FARTHEST, math.log2(faster)))


def _hover(crossover: Crossover) -> str:
    rivals = (f"{BACKENDS.get(b, b)}: packed {t:.2f}× as fast" for b, t in crossover.times_faster.items())
    return "<br>".join((f"{named(crossover.layer)} at {bits(crossover)} bits", *rivals))
