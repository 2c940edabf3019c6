"""The roofline of a layer: what each backend reaches against how much it computes for each byte, both on log axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from app.figures.look import Look, finish, look
from app.figures.speed import BACKENDS
from cfcore.roofline import Point

SYMBOLS = {"product": "circle-open", "layer": "circle", "chain": "diamond"}
SHORT = {"torch-fp32": "fp32", "torch-bf16": "bf16", "torch-int8": "int8", "openvino": "OpenVINO"}
RATES = (1, 10, 100)  # 10^9 bytes per second, drawn as diagonals
WIDE = 0.12  # of the axis, beside the outermost points: a label needs it
FEW = 2.5  # decades, of which each has its 2 and 5
NEAR = 0.07  # of a decade: closer points would hide each other's labels


def colour_of(backend: str, colours: Look) -> str:
    """One colour a backend; the packed kernel has the main one."""
    by_backend = {"packed": colours.main, "torch-int8": colours.accent, "torch-bf16": colours.parts["batch_norm"]}
    return by_backend.get(backend, colours.muted)


def label(point: Point) -> str:
    """What stands beside a point: packed by stage, rivals by type, and once."""
    if point.backend != "packed" and point.stage == "product":
        return ""
    return point.stage if point.backend == "packed" else SHORT.get(point.backend, point.backend)


def roofline(
    points: Sequence[Point], others: Sequence[Point], bound: float, bits: str, dark: bool = False
) -> go.Figure:
    """Points of one layer; small rings of other layers; the bound of the vector ports as a line.

    others  packed products of other layers at the same bits
    bound   10^9 multiply-accumulates per second
    bits    "1 × 1", for the line's label
    """
    colours = look(dark)
    shown = [*points, *others]
    low, high = math.log10(min(p.intensity for p in shown)), math.log10(max(p.intensity for p in shown))
    bottom, top = math.log10(min(p.gmacs for p in shown)), math.log10(max(bound, *(p.gmacs for p in shown)))
    room = WIDE * (high - low) + 0.1
    across, upright = (low - room, high + room), (bottom - 0.15, top + 0.35)
    figure = go.Figure()
    for rate in RATES:
        _diagonal(figure, rate, across, upright, colours)
    figure.add_scatter(
        x=[p.intensity for p in others],
        y=[p.gmacs for p in others],
        mode="markers",
        marker={"size": 7, "color": colours.main, "opacity": 0.75, "symbol": "circle-open"},
        text=[p.layer for p in others],
        hovertemplate="%{text}, packed product<br>%{x:,.0f} a byte, %{y:,.0f} GMAC/s<extra></extra>",
    )
    for point in _apart(points):
        colour = colour_of(point.backend, colours)
        alone = point.stage == "product"
        figure.add_scatter(
            x=[point.intensity],
            y=[point.gmacs],
            mode="markers+text",
            marker={"size": 11, "color": colour, "symbol": SYMBOLS[point.stage], "line": {"width": 2, "color": colour}},
            text=[label(point)],
            textposition="top center" if alone else "bottom center",
            textfont={"color": colours.ink, "size": 12},
            cliponaxis=False,
            hovertemplate=(
                f"{BACKENDS.get(point.backend, point.backend)}, {point.stage}<br>%{{y:,.0f}} GMAC/s, measured<br>"
                f"%{{x:,.1f}} multiply-accumulates a byte, computed<br>{point.moved:,.1f} GB/s moved<extra></extra>"
            ),
        )
    figure.add_scatter(
        x=[10 ** across[0], 10 ** across[1]],
        y=[bound, bound],
        mode="lines",
        line={"color": colours.main, "width": 2, "dash": "dash"},
        hovertemplate=f"port bound at {bits} bits: {bound:,.0f} GMAC/s<extra></extra>",
    )
    figure.add_annotation(
        x=across[1],
        y=math.log10(bound),
        text=f"port bound at {bits} bits: {bound:,.0f} GMAC/s",
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        yshift=16,  # above the label of a product that comes near
        font={"color": colours.ink, "size": 12},
    )
    figure.update_xaxes(title_text="multiply-accumulates a byte moved (computed)", **_ticks(across))
    figure.update_yaxes(title_text="GMAC/s (measured)", **_ticks(upright))
    return finish(figure, colours, height=420)


def _ticks(span: tuple[float, float]) -> dict[str, Any]:
    """A logarithmic axis: 1, 2, 5 of each decade where there are few."""
    few = span[1] - span[0] < FEW
    return {"type": "log", "range": span, "dtick": "D2" if few else 1, "tickformat": "~s", "exponentformat": "none"}


def _diagonal(
    figure: go.Figure, rate: int, across: tuple[float, float], upright: tuple[float, float], colours: Look
) -> None:
    """Where `rate` GB/s are moved: GMAC/s = intensity · rate; left out where it misses the picture.

    Labelled where it starts at the left edge, else at its other end: the slowest points lie along the bottom.
    """
    start = max(across[0], upright[0] - math.log10(rate))
    end = min(across[1], upright[1] - math.log10(rate))
    if start >= end:
        return
    ends = [10**start, 10**end]
    line = {"color": colours.grid, "width": 1.5, "dash": "dot"}
    figure.add_scatter(x=ends, y=[rate * x for x in ends], mode="lines", line=line, hoverinfo="skip")
    left = start == across[0]
    at = start + 0.02 if left else end - 0.1
    figure.add_annotation(
        x=at,
        y=at + math.log10(rate),
        text=f"{rate} GB/s",
        showarrow=False,
        xanchor="left" if left else "right",
        yanchor="bottom",
        font={"color": colours.muted, "size": 11},
    )


def _apart(points: Sequence[Point]) -> list[Point]:
    """Without those that would lie on another of the same backend: fp32's product is its layer."""
    kept: list[Point] = []
    for point in points:
        near = (
            other
            for other in kept
            if other.backend == point.backend
            and abs(math.log10(other.intensity / point.intensity)) < NEAR
            and abs(math.log10(other.gmacs / point.gmacs)) < NEAR
        )
        if next(near, None) is None:
            kept.append(point)
    return kept
