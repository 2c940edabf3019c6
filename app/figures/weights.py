"""The weights of a group's filters, latent and quantized: as small pictures, and counted on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.look import finish, look

BEFORE, AFTER = "latent", "quantized"
NAMED_LEVELS = 2  # more would not fit above their bars
TAPS = 3  # height and width of a filter
PITCH = TAPS + 1  # cells from one picture to the next

Picture = tuple[tuple[tuple[tuple[float, ...], ...], ...], ...]
"""Weights of some filters by filter, input channel, row and column."""


@dataclass(frozen=True)
class GroupWeights:
    """The weights of a group.

    filters       those that are drawn, by number, the strongest first where that is known
    own           α_f of each, empty where it is not known
    limit         the weight whose colour is the strongest
    latent        none where it is not known
    edges, counts of the latent weights of all the group's filters: counts[i] lie from edges[i] to edges[i + 1]
    levels, level_counts  the quantized weights that occur, and how many there are of each
    kept          share of the latent weights whose sign the quantized ones have
    """

    filters: tuple[int, ...]
    own: tuple[float, ...]
    limit: float
    latent: Picture | None
    quantized: Picture
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    levels: tuple[float, ...]
    level_counts: tuple[int, ...]
    kept: float | None


def diverging(dark: bool) -> list[list[object]]:
    """Orange for negative, the ground for 0, blue for positive; steeper near 0, as most weights are small."""
    return (
        [[0, "#f7a76f"], [0.35, "#b8622a"], [0.5, "#1b242c"], [0.65, "#2f7fb0"], [1, "#7cc8f5"]]
        if dark
        else [[0, "#9c3d00"], [0.35, "#e8935c"], [0.5, "#f4f6f8"], [0.65, "#5ba3d0"], [1, "#00507f"]]
    )


def pictures(weights: GroupWeights, side: str, dark: bool = False) -> go.Figure:
    """A row a filter, a 3×3 picture an input channel; `side` latent or quantized, both on one symmetric scale."""
    colours = look(dark)
    picture = weights.latent if side == BEFORE else weights.quantized
    assert picture is not None
    z, told = _tiles(picture, weights.filters)
    figure = go.Figure(
        go.Heatmap(z=z, text=told, hovertemplate=f"%{{text}}<br>{side} %{{z:.5f}}<extra></extra>", hoverongaps=False)
    )
    size = {"size": 12, "color": colours.muted}
    bar = {"title": {"text": "weight", "side": "bottom", "font": size}, "tickfont": size, "nticks": 5}
    bar |= {"orientation": "h", "y": 0, "yanchor": "top", "len": 0.8}
    bar |= {"thickness": 8, "outlinewidth": 0, "exponentformat": "none"}
    limits = {"zmin": -weights.limit, "zmax": weights.limit, "colorscale": diverging(dark)}
    figure.update_traces(**limits, colorbar=bar)
    rows = len(weights.filters)
    numbers = {"tickvals": [PITCH * row + 1 for row in range(rows)], "ticktext": [str(f) for f in weights.filters]}
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(tickmode="array", **numbers, title_text="filter", showgrid=False)
    figure.update_yaxes(range=[PITCH * rows - 1.5, -0.5], scaleanchor="x", constrain="domain", constraintoward="top")
    figure = finish(figure, colours, height=110 + 40 * max(rows, 2))
    figure.update_layout(margin={"b": 56})
    return figure


def _tiles(picture: Picture, filters: Sequence[int]) -> tuple[list[list[float | None]], list[list[str]]]:
    """Filters below each other, channels side by side, an empty line between."""
    channels = len(picture[0])
    height, width = PITCH * len(picture) - 1, PITCH * channels - 1
    z: list[list[float | None]] = [[None] * width for _ in range(height)]
    told = [[""] * width for _ in range(height)]
    for r, number in enumerate(filters):
        for c in range(channels):
            for i in range(TAPS):
                for j in range(TAPS):
                    z[PITCH * r + i][PITCH * c + j] = picture[r][c][i][j]
                    told[PITCH * r + i][PITCH * c + j] = f"filter {number}, channel {c}, row {i}, column {j}"
    return z, told


def histograms(weights: GroupWeights, dark: bool = False) -> go.Figure:
    """How often each weight occurs, latent above quantized, on one axis."""
    colours = look(dark)
    known = bool(weights.counts)
    titles = [BEFORE, AFTER] if known else [AFTER]
    figure = make_subplots(rows=len(titles), cols=1, shared_xaxes=True, vertical_spacing=0.12, subplot_titles=titles)
    if known:
        middles = [(a + b) / 2 for a, b in zip(weights.edges, weights.edges[1:], strict=False)]
        figure.add_bar(
            x=middles,
            y=list(weights.counts),
            width=[b - a for a, b in zip(weights.edges, weights.edges[1:], strict=False)],
            marker={"color": colours.other, "line": {"width": 0}},
            hovertemplate="about %{x:.4f}: %{y:,} weights<extra></extra>",
            row=1,
            col=1,
        )
    widest = weights.edges[-1] - weights.edges[0] if known else 3 * max(map(abs, weights.levels))
    figure.add_bar(
        x=list(weights.levels),
        y=list(weights.level_counts),
        width=widest / 60,
        marker={"color": colours.accent, "line": {"width": 0}},
        text=[f"{n:,}" for n in weights.level_counts],
        constraintext="none",
        textangle=0,
        textposition="outside" if len(weights.levels) <= NAMED_LEVELS else "none",
        cliponaxis=False,
        hovertemplate="%{x:.5f}: %{y:,} weights<extra></extra>",
        row=len(titles),
        col=1,
    )
    figure.update_xaxes(range=[-widest / 2, widest / 2], tickformat=".3~g", nticks=7)
    figure.update_xaxes(title_text="weight", row=len(titles), col=1)
    figure.update_yaxes(title_text="weights", tickformat="~s", nticks=4)
    figure.update_yaxes(range=[0, 1.2 * max(weights.level_counts)], row=len(titles), col=1)
    figure = finish(figure, colours, height=200 * len(titles) + 60)
    figure.update_annotations(x=0, xanchor="left", font={"size": 13, "color": colours.ink})
    figure.update_layout(margin={"t": 28}, bargap=0)
    return figure
