"""What quantizing does to the answers: accuracy by class, confusion by pair of classes, loss by confidence."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from app.figures.look import finish, look
from cfcore.comparison import Bin, Comparison
from cfcore.images import CLASSES


def classes(comparison: Comparison, dark: bool = False) -> go.Figure:
    """One row a class: accuracy in % of float and of this network."""
    rows = comparison.to_dict()["classes"]
    before, after = ([row[f"accuracy_{when}"] for row in rows] for when in ("before", "after"))
    return _pairs([row["class"] for row in rows], before, after, "% of the class's test images right", dark)


def probabilities(before: Sequence[float], after: Sequence[float] | None, dark: bool = False) -> go.Figure:
    """One row a class: probability in % that float, and this network if there is another, give a picture."""
    percent = [[100 * value for value in values] for values in (before, after or ())]
    return _pairs(list(CLASSES), percent[0], percent[1], "confidence in this class (softmax), %", dark)


def _pairs(names: Sequence[str], before: Sequence[float], after: Sequence[float], title: str, dark: bool) -> go.Figure:
    """One row a name: float, an open circle; unless there is no `after`, this network, a filled one; a line between."""
    colours = look(dark)
    figure = go.Figure()
    for name, *ends in zip(names, before, after, strict=False):
        line = {"color": colours.other, "width": 3}
        figure.add_scatter(x=ends, y=[name] * 2, mode="lines", line=line, hoverinfo="skip")
    networks: list[tuple[str, Sequence[float], dict[str, Any]]] = [
        ("float", before, {"symbol": "circle-open", "color": colours.muted, "line": {"width": 2.5}}),
        ("this network", after, {"symbol": "circle", "color": colours.main}),
    ]
    for label, values, marker in networks[: 2 if after else 1]:
        figure.add_scatter(
            x=list(values),
            y=list(names),
            name=label,
            mode="markers",
            marker={"size": 12, **marker},
            cliponaxis=False,
            hovertemplate=f"%{{y}}, {label}: %{{x:.1f}} %<extra></extra>",
        )
    key = "○ float   ● this network" if after else "○ float"
    figure.update_xaxes(title_text=f"{title}<br>{key}", nticks=7)
    figure.update_yaxes(autorange="reversed", showgrid=True)
    return finish(figure, colours, height=100 + 34 * len(names))


def confusion(comparison: Comparison, dark: bool = False) -> go.Figure:
    """True class by class named, 10 × 10: images more (accent) or fewer (main) than with float."""
    colours = look(dark)
    difference = comparison.confusion().tolist()
    most = max(1, *(abs(number) for row in difference for number in row))
    shades = [[_root(number / most) for number in row] for row in difference]
    figure = go.Figure(
        go.Heatmap(
            x=list(CLASSES),
            y=list(CLASSES),
            z=shades,
            zmin=-1,
            zmax=1,
            colorscale=[[0, colours.main], [0.5, colours.ground], [1, colours.accent]],
            showscale=False,
            text=[[signed(number) for number in row] for row in difference],
            hovertemplate="%{y} named %{x}: %{text} images<extra></extra>",
            xgap=2,
            ygap=2,
        )
    )
    figure.add_scatter(  # a heatmap's own text has too little contrast on middling colours
        x=list(CLASSES) * len(CLASSES),
        y=[name for name in CLASSES for _ in CLASSES],
        mode="text",
        text=[signed(number) for row in difference for number in row],
        textfont={"size": 12, "color": [legible(cell(shade, dark)) for row in shades for shade in row]},
        hoverinfo="skip",
    )
    figure.update_xaxes(title_text="class named", showgrid=False, tickangle=-50)
    figure.update_yaxes(title_text="true class", autorange="reversed", showgrid=False)
    return finish(figure, colours, height=440)


def cell(shade: float, dark: bool) -> str:
    """The colour that a cell gets for a shade from -1 to 1: as plotly mixes it.

    >>> cell(0.0, False), cell(-1.0, False), cell(0.5, False)
    ('#ffffff', '#0072b2', '#eaae80')
    """
    colours = look(dark)
    ground, end = (_channels(c) for c in (colours.ground, colours.main if shade < 0 else colours.accent))
    mixed = [round(g + abs(shade) * (e - g)) for g, e in zip(ground, end, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def legible(ground: str) -> str:
    """Black or white, whichever stands out more: one of the two always has a contrast of 4.5:1.

    >>> legible("#ffffff"), legible("#0072b2")
    ('#000000', '#ffffff')
    """
    return "#000000" if luminance(ground) > 0.179 else "#ffffff"


def luminance(colour: str) -> float:
    """Relative luminance of WCAG, 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _root(share: float) -> float:
    """Signed square root: the diagonal's large numbers leave some colour to the others."""
    return abs(share) ** 0.5 * (1 if share >= 0 else -1)


def signed(number: int) -> str:
    """A difference with a true minus.

    >>> signed(-3), signed(0), signed(12)
    ('−3', '0', '+12')
    """
    return "0" if number == 0 else f"{'+' if number > 0 else '−'}{abs(number)}"


def lost(bins: Sequence[Bin], dark: bool = False) -> go.Figure:
    """Share in % of float's right answers that are wrong now, by float's confidence."""
    colours = look(dark)
    shares = [100 * found.share for found in bins]
    figure = go.Figure(
        go.Bar(
            x=[span(found) for found in bins],
            y=shares,
            marker={"color": colours.main, "line": {"width": 0}},
            text=[f"{share:.0f} %" for share in shares],
            textposition="outside",
            cliponaxis=False,
            customdata=[[found.lost, found.right] for found in bins],
            hovertemplate="float %{x} sure: %{customdata[0]:,} of %{customdata[1]:,} right answers lost<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="how sure float was of its right answer, %", type="category", showgrid=False)
    figure.update_yaxes(title_text="% of them wrong now", range=[0, 1.15 * max(1.0, *shares)], nticks=6)
    return finish(figure, colours, height=300)


def span(found: Bin) -> str:
    """A bin's confidences in %.

    >>> span(Bin(0.0, 0.5, 1, 0)), span(Bin(0.5, 0.6, 1, 0))
    ('below 50', '50 to 60')
    """
    return f"below {100 * found.high:.0f}" if found.low == 0 else f"{100 * found.low:.0f} to {100 * found.high:.0f}"
