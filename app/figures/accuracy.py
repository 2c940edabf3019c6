"""Accuracies side by side, with the spread that counting a sample of images alone gives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from app.figures.look import LETTER, finish, look


@dataclass(frozen=True)
class Score:
    """How many of some test images a network got right.

    accuracy  top-1 in %
    images    how many it was counted on
    chosen    whether it is the network that the page shows
    """

    label: str
    accuracy: float
    images: int
    chosen: bool = False

    @property
    def margin(self) -> float:
        """Half the 95 % interval of a proportion in points: 196·sqrt(p(1 - p) / images).

        >>> round(Score("float", 90.0, 10_000).margin, 2)
        0.59
        """
        share = self.accuracy / 100
        return 196 * math.sqrt(share * (1 - share) / self.images)

    def to_dict(self) -> dict[str, Any]:
        return {"network": self.label, "accuracy_percent": self.accuracy, "images": self.images}


def chance(*counted: Score) -> float:
    """Points that counted accuracies may differ by in 95 of 100 counts of equal networks: √(margin² + margin²). Images
    are taken as drawn anew for each; on the same images equal networks differ by less.
    """
    return math.hypot(*(score.margin for score in counted))


def comparison(scores: Sequence[Score], dark: bool = False, rows: int = 0) -> go.Figure:
    """One dot a network, in %, on an axis that does not start at 0; whiskers are the 95 % interval.

    rows  that room is left for: scores that are still counted come below, and nothing moves
    """
    rows = max(rows, len(scores))
    colours = look(dark)
    figure = go.Figure(
        go.Scatter(
            x=[score.accuracy for score in scores],
            y=[score.label for score in scores],
            mode="markers+text",
            text=[f"{score.accuracy:.2f}" for score in scores],
            textposition="top center",
            cliponaxis=False,
            marker={"size": 12, "color": [colours.main if score.chosen else colours.other for score in scores]},
            error_x={"array": [score.margin for score in scores], "color": colours.muted, "thickness": 1.2, "width": 4},
            customdata=[[score.margin, score.images] for score in scores],
            hovertemplate="%{y}: %{x:.2f} % ± %{customdata[0]:.2f}, on %{customdata[1]:,} images<extra></extra>",
        )
    )
    low = min(score.accuracy - score.margin for score in scores)
    high = max(score.accuracy + score.margin for score in scores)
    room = max(0.5, 0.08 * (high - low))
    counted = {score.images for score in scores}
    of = f"{counted.pop():,} test images" if len(counted) == 1 else "test images"
    figure.update_xaxes(title_text=f"% of {of} right", range=[low - room, high + room], nticks=7)
    figure.update_yaxes(autorange="reversed", showgrid=True)
    if rows > 1:
        figure.update_yaxes(range=[rows - 0.5, -0.7], autorange=False)
    longest = max(len(score.label) for score in scores)
    return finish(figure, colours, height=80 + 46 * rows, left=8 + LETTER * longest, below=43)
