"""Accuracies of training seeds: each a dot, their mean a stroke, so that a difference stands beside its chance."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.figures.look import finish, look


@dataclass(frozen=True)
class Seeds:
    """Accuracies in % of the same training with two seeds or more.

    mean, deviation  of the sample, so over one fewer than the seeds
    """

    label: str
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.mean(self.accuracies)

    @property
    def deviation(self) -> float:
        return statistics.stdev(self.accuracies)


def seeds(found: Sequence[Seeds], dark: bool = False) -> go.Figure:
    """One row a network, in %, on an axis that does not start at 0."""
    colours = look(dark)
    figure = go.Figure()
    rows = [(group.label, accuracy) for group in found for accuracy in group.accuracies]
    figure.add_scatter(
        x=[accuracy for _, accuracy in rows],
        y=[label for label, _ in rows],
        mode="markers",
        marker={"size": 10, "color": colours.main, "opacity": 0.75},
        hovertemplate="%{y}, one seed: %{x:.2f} %<extra></extra>",
    )
    figure.add_scatter(
        x=[group.mean for group in found],
        y=[group.label for group in found],
        mode="markers+text",
        text=[f"{group.mean:.2f}" for group in found],
        textposition="top center",
        cliponaxis=False,
        marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": colours.accent}},
        customdata=[[group.deviation, len(group.accuracies)] for group in found],
        hovertemplate="%{y}, mean of %{customdata[1]} seeds: %{x:.2f} ± %{customdata[0]:.2f} %<extra></extra>",
    )
    low, high = min(a for _, a in rows), max(a for _, a in rows)
    room = max(0.2, 0.15 * (high - low))
    figure.update_xaxes(title_text="% of test images right", range=[low - room, high + room], nticks=6)
    figure.update_yaxes(range=[len(found) - 0.5, -0.8])
    return finish(figure, colours, height=80 + 54 * len(found))
