"""The cost model: curves of the formulas, and the same formulas beside what was published and measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.figures.ledger import PARTS
from app.figures.look import Look, finish, look
from cfcore.cost import Cost

MARKS = {  # by kind of point: what the legend calls it, its symbol and its size
    "measured": ("measured, whole layer", "circle", 9),
    "candidate": ("computed, a candidate for 122×", "diamond", 11),
    "published": ("published", "star", 14),
    "chosen": ("", "circle-open", 18),
}

FEW = 8  # values on an axis that are all named; of more, the powers of four
POWERS_OF_FOUR = {4**i for i in range(9)}
WEIGHTS = (1, 4, 16, 64, 144, 576, 2304, 9216, 36864)  # of a filter, as the axis names them


@dataclass(frozen=True)
class Curve:
    """A line of a formula.

    chosen  whether it is the one that the page is set to
    other   whether it is for comparison: dashed
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    chosen: bool = False
    other: bool = False


@dataclass(frozen=True)
class Level:
    """A height of its own: a limit, or a published number."""

    label: str
    y: float


@dataclass(frozen=True)
class Point:
    """One number in the plane of weights a filter and times faster.

    kind  "chosen", "published", "candidate" or "measured"
    """

    label: str
    kind: str
    x: float
    y: float


def lines(
    curves: Sequence[Curve],
    at: float,
    axes: tuple[str, str],
    levels: Sequence[Level] = (),
    dark: bool = False,
) -> go.Figure:
    """Curves over one input, with the chosen one heavy and a dot where the input stands; dashed levels.

    at    the input's value; axes: titles of x and y
    """
    colours = look(dark)
    palette = (colours.accent, colours.parts["batch_norm"], colours.parts["order"], colours.parts["padding"])
    figure = go.Figure()
    for i, curve in enumerate(curves):
        colour = colours.main if curve.chosen else palette[0] if curve.other else palette[i % len(palette)]
        figure.add_scatter(
            x=curve.x,
            y=curve.y,
            name=curve.label,
            mode="lines",
            line={"color": colour, "width": 3.5 if curve.chosen else 1.6, "dash": "dash" if curve.other else "solid"},
            hovertemplate=f"{curve.label}, {axes[0]} %{{x}}: %{{y:.2f}}×<extra></extra>",
        )
        if curve.chosen and at in curve.x:
            y = curve.y[curve.x.index(at)]
            _dot(figure, at, y, f"{y:.2f}×", colours)
    heights = [y for curve in curves for y in curve.y]
    low, top = min(heights), max([*heights, *(level.y for level in levels)])
    room = 0.12 * (top - low)
    _levels(figure, levels, colours)
    ticks = sorted({x for curve in curves for x in curve.x})
    shown = ticks if len(ticks) < FEW else [x for x in ticks if x in POWERS_OF_FOUR]
    figure.update_xaxes(
        type="log", tickvals=shown, ticktext=[f"{x:,.0f}" for x in shown], tickangle=0, title_text=axes[0]
    )
    figure.update_yaxes(
        range=[0 if low < 0.6 * top else low - room, top + room], title_text=axes[1], nticks=6, ticksuffix="×"
    )
    return _with_legend(finish(figure, colours, height=360))


def landscape(
    curves: Sequence[Curve], points: Sequence[Point], levels: Sequence[Level], dark: bool = False
) -> go.Figure:
    """Times faster over the weights of a filter: formulas as lines, published, candidate and measured as marks."""
    colours = look(dark)
    figure = go.Figure()
    ink = {
        "measured": colours.parts["batch_norm"],
        "candidate": colours.parts["order"],
        "published": colours.ink,
        "chosen": colours.main,
    }
    for curve in curves:
        figure.add_scatter(
            x=curve.x,
            y=curve.y,
            name=curve.label,
            mode="lines",
            line={
                "color": colours.main if curve.chosen else colours.accent if curve.other else colours.muted,
                "width": 3 if curve.chosen else 1.8,
                "dash": "dash" if curve.other else "solid",
            },
            hovertemplate=f"{curve.label}<br>n = %{{x:,}}: %{{y:.2f}}×<extra></extra>",
        )
    for kind, (name, symbol, size) in MARKS.items():
        marks = [point for point in points if point.kind == kind]
        if marks:
            figure.add_scatter(
                x=[point.x for point in marks],
                y=[point.y for point in marks],
                name=name,
                mode="markers",
                marker={"symbol": symbol, "size": size, "color": ink[kind], "line": {"width": 2.5 * (not name)}},
                showlegend=bool(name),
                text=[point.label for point in marks],
                hovertemplate="%{text}<br>n = %{x:,}: %{y:.2f}×<extra></extra>",
            )
    heights = [y for curve in curves for y in curve.y] + [p.y for p in points] + [level.y for level in levels]
    ticks = [y for y in (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if y <= 2 * max(heights)]
    _levels(figure, levels, colours, ticks)
    figure.update_xaxes(
        type="log",
        title_text="weights of a filter, n = c·k²",
        tickvals=WEIGHTS,
        ticktext=[f"{n:,}" for n in WEIGHTS],
        tickangle=0,
    )
    low, high = min(heights), max(heights)
    figure.update_yaxes(
        type="log",
        title_text="times fewer operations (lines), times faster (dots)",
        tickvals=ticks,
        ticktext=[f"{y:g}×" for y in ticks],
        range=[math.log10(0.8 * low), math.log10(1.45 * high)],
    )
    return _with_legend(finish(figure, colours, height=480))


def ratios(cost: Cost, dark: bool = False) -> go.Figure:
    """A bar for the ratio to float32 as one part of the ledger after the other is counted in."""
    colours = look(dark)
    steps = cost.steps
    names = [("+ " if i else "") + PARTS[step.part] for i, step in enumerate(steps)]
    figure = go.Figure(
        go.Bar(
            x=[step.ratio for step in steps],
            y=names,
            orientation="h",
            marker={"color": [colours.parts[step.part] for step in steps], "line": {"width": 0}},
            text=[f"{step.ratio:.2f}×" for step in steps],
            textposition="outside",
            cliponaxis=False,
            customdata=[[step.bytes, step.float_bytes] for step in steps],
            hovertemplate=(
                "%{y}: %{customdata[0]:,} bytes, in float %{customdata[1]:,}<br>"
                "all up to here: %{x:.2f}× less<extra></extra>"
            ),
        )
    )
    top = max(step.ratio for step in steps)
    figure.update_xaxes(title_text="times less than float, all parts up to here", range=[0, 1.2 * top], ticksuffix="×")
    figure.update_yaxes(autorange="reversed")
    return finish(figure, colours, height=90 + 38 * len(steps))


def _dot(figure: go.Figure, x: float, y: float, text: str, colours: Look) -> None:
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers+text",
        marker={"size": 11, "color": colours.main},
        text=[text],
        textposition="bottom center",
        textfont={"color": colours.ink},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )


def _levels(figure: go.Figure, levels: Sequence[Level], colours: Look, ticks: Sequence[float] = ()) -> None:
    """Dotted lines from side to side, named at their left end; below it where a line or the line of a tick is above."""
    xs = [x for trace in figure.data for x in trace.x]
    starts = [trace.y[0] for trace in figure.data if trace.mode == "lines"]
    for level in levels:
        crowded = any(level.y <= y < 1.1 * level.y for y in [*starts, *ticks])
        figure.add_scatter(
            x=[min(xs), max(xs)],
            y=[level.y, level.y],
            mode="lines+text",
            line={"color": colours.muted, "width": 1.2, "dash": "dot"},
            text=[level.label, ""],
            textposition="bottom right" if crowded else "top right",
            textfont={"color": colours.muted, "size": 12},
            hoverinfo="skip",
            showlegend=False,
        )


def _with_legend(figure: go.Figure) -> go.Figure:
    return figure.update_layout(
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0, "font": {"size": 12}},
    )
