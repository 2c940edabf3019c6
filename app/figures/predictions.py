"""What quantizing does to the answers: accuracy by class, confusion by pair of classes, loss by confidence."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from app.figures.look import finish, look
from cfcore.comparison import Bin, Comparison
from cfcore.images import CLASSES


def classes(comparison: Comparison, dark: bool = False) -> go.Figure:
    """One row a class: accuracy in % of float, an open circle, and of this network, a filled one; a line between."""
    colours = look(dark)
    rows = comparison.to_dict()["classes"]
    names = [row["class"] for row in rows]
    figure = go.Figure()
    for row in rows:
        figure.add_scatter(
            x=[row["accuracy_before"], row["accuracy_after"]],
            y=[row["class"]] * 2,
            mode="lines",
            line={"color": colours.other, "width": 3},
            hoverinfo="skip",
        )
    looks: dict[str, tuple[str, dict[str, Any]]] = {
        "accuracy_before": ("float", {"symbol": "circle-open", "color": colours.muted, "line": {"width": 2.5}}),
        "accuracy_after": ("this network", {"symbol": "circle", "color": colours.main}),
    }
    for key, (label, marker) in looks.items():
        figure.add_scatter(
            x=[row[key] for row in rows],
            y=names,
            name=label,
            mode="markers",
            marker={"size": 12, **marker},
            customdata=[row["images"] for row in rows],
            hovertemplate=f"%{{y}}, {label}: %{{x:.1f}} % of %{{customdata:,}} images right<extra></extra>",
        )
    figure.update_xaxes(title_text="% of the class's test images right<br>○ float   ● this network", nticks=7)
    figure.update_yaxes(autorange="reversed", showgrid=True)
    return finish(figure, colours, height=100 + 34 * len(names))


def confusion(comparison: Comparison, dark: bool = False) -> go.Figure:
    """True class by class named, 10 × 10: images more (accent) or fewer (main) than with float."""
    colours = look(dark)
    difference = comparison.confusion().tolist()
    most = max(1, *(abs(number) for row in difference for number in row))
    figure = go.Figure(
        go.Heatmap(
            x=list(CLASSES),
            y=list(CLASSES),
            z=[[_root(number / most) for number in row] for row in difference],
            zmin=-1,
            zmax=1,
            colorscale=[[0, colours.main], [0.5, "#11171d" if dark else "#ffffff"], [1, colours.accent]],
            showscale=False,
            text=[[signed(number) for number in row] for row in difference],
            texttemplate="%{text}",
            textfont={"size": 12},
            hovertemplate="%{y} named %{x}: %{text} images<extra></extra>",
            xgap=2,
            ygap=2,
        )
    )
    figure.update_xaxes(title_text="class named", showgrid=False, tickangle=-50)
    figure.update_yaxes(title_text="true class", autorange="reversed", showgrid=False)
    return finish(figure, colours, height=440)


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
    shares = [100 * found.lost / found.right for found in bins]
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


def probabilities(networks: Mapping[str, Sequence[float]], dark: bool = False) -> go.Figure:
    """Probability in % of each class, a bar a network: the last one in colour, float before it in grey."""
    colours = look(dark)
    shades = [colours.other, colours.main][-len(networks) :]
    figure = go.Figure(
        go.Bar(
            x=[100 * value for value in values],
            y=list(CLASSES),
            name=label,
            orientation="h",
            marker={"color": shade, "line": {"width": 0}},
            hovertemplate=f"{label}, %{{y}}: %{{x:.1f}} %<extra></extra>",
        )
        for (label, values), shade in zip(networks.items(), shades, strict=True)
    )
    named = ", ".join(networks)
    figure.update_xaxes(title_text=f"% sure: {named}", range=[0, 102], nticks=6)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return finish(figure, colours, height=340)
