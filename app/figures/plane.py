"""Every network on one plane: bytes against accuracy, with the frontier that none of them beats."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import plotly.graph_objects as go

from app.figures.look import finish, look

WIDE, HIGH, LINE, LETTER, GAP = 480.0, 260.0, 16.0, 6.8, 12.0  # pixels: of the plane; of a label
AROUND = {"top center": (0, 18), "bottom center": (0, -18), "middle right": (18, 0), "middle left": (-18, 0)}  # pixels
BELOW = (14, -14, 30, -30, 46, -46)  # pixels between a point and its label, the nearest first
TOGETHER = 0.12  # of the plane's height: networks so near share a line of text
SYMBOLS = {"float": "diamond", "binary-weight": "square", "xnor": "circle"}


@dataclass(frozen=True)
class Place:
    """Where a network lies.

    label     its bits and group size
    method    float, binary-weight or xnor
    bytes     of its tensors
    accuracy  top-1 in %
    chosen    whether it is the one that the page shows
    name      what is written beside it when chosen; its label if empty
    pale      whether it is only there to compare with
    family    its bits in short, as they are written once under all that have them
    """

    label: str
    method: str
    bytes: int
    accuracy: float
    chosen: bool = False
    name: str = ""
    pale: bool = False
    family: str = ""

    def to_dict(self) -> dict[str, Any]:
        """What the plane says of it; not how it is drawn."""
        return {name: value for name, value in asdict(self).items() if name not in ("name", "pale", "family")}


def frontier(places: Sequence[Place]) -> list[Place]:
    """Those that no other beats: none is both smaller, or as small, and more accurate. From small to large.

    >>> [p.label for p in frontier([Place("a", "xnor", 9, 80), Place("b", "xnor", 5, 79), Place("c", "xnor", 7, 78)])]
    ['b', 'a']
    """
    best: list[Place] = []
    for place in sorted(places, key=lambda p: (p.bytes, -p.accuracy)):
        if not best or place.accuracy > best[-1].accuracy:
            best.append(place)
    return best


def families(places: Sequence[Place]) -> list[tuple[str, float, float]]:
    """What is written under networks of the same bits, and those of other bits that lie among them; with the bytes and
    the accuracy that it is written under.

    >>> places = [Place("", "xnor", 40, 90 + i, family=family) for i, family in enumerate(("1 × 2", "1 bit", "1 bit"))]
    >>> families(places), families([*places, Place("", "float", 900, 99)])
    ([('1 × 2', 40, 90), ('1 bit', 40, 91)], [('1 × 2, 1 bit', 40, 90)])
    """
    alike: dict[str, list[Place]] = {}
    for place in sorted(places, key=lambda place: place.accuracy):
        alike.setdefault(place.family, []).append(place)
    alike.pop("", None)
    written: list[tuple[str, float, float]] = []
    for family, members in alike.items():
        size, least = round(statistics.geometric_mean(p.bytes for p in members)), members[0].accuracy
        for i, (text, other, below) in enumerate(written):
            if together((size, least), (other, below), places):
                written[i] = f"{text}, {family}", other, below
                break
        else:
            written.append((family, size, least))
    return written


def together(one: tuple[float, float], other: tuple[float, float], places: Sequence[Place]) -> bool:
    """Whether labels at these bytes and accuracies would share a line of text."""
    accuracies = [place.accuracy for place in places]
    near = TOGETHER * (max(accuracies) - min(accuracies))
    return abs(math.log(one[0] / other[0])) < 0.1 and abs(one[1] - other[1]) < near


def beside(places: Sequence[Place]) -> dict[Place, str]:
    """Where the short name of a place stands: where it covers the fewest dots and other names, on a plane of about the
    usual size.
    """
    x_scale, y_scale = scales(places)
    spots = [(x_scale * math.log(place.bytes), y_scale * place.accuracy) for place in places]
    chosen: dict[Place, str] = {}
    for place in sorted((place for place in places if place.name), key=lambda p: (-p.accuracy, p.bytes)):
        x, y = x_scale * math.log(place.bytes), y_scale * place.accuracy
        ways = {
            way: sum(abs(other - x - right) < LINE and abs(above - y - up) < LINE for other, above in spots)
            for way, (right, up) in AROUND.items()
        }
        chosen[place] = min(ways, key=lambda way: ways[way])
        right, up = AROUND[chosen[place]]
        spots.append((x + right, y + up))
    return chosen


def scales(places: Sequence[Place]) -> tuple[float, float]:
    """Pixels for a unit of ln bytes and of accuracy, on a plane of about the usual size."""
    logarithms, accuracies = [math.log(p.bytes) for p in places], [p.accuracy for p in places]
    x_scale = WIDE / max(max(logarithms) - min(logarithms), 1e-9)
    return x_scale, HIGH / max(max(accuracies) - min(accuracies), 1e-9)


def covered(place: Place, side: str, below: float, places: Sequence[Place]) -> int:
    """How many points and steps of the frontier a label beside this place, so many pixels below it, would cover, on a
    plane of about the usual size.
    """
    x_scale, y_scale = scales(places)
    length, direction = LETTER * len(place.label) + 2 * GAP, 1 if side == "right" else -1

    def across(size: int) -> float:
        return direction * x_scale * (math.log(size) - math.log(place.bytes))

    def is_level(accuracy: float, tall: float) -> bool:
        return abs((place.accuracy - accuracy) * y_scale - below) < LINE / 2 + tall

    points = sum(
        other != place and -4 < across(other.bytes) < length and is_level(other.accuracy, 5) for other in places
    )
    for step, following in itertools.pairwise(frontier(places)):
        ends = sorted((across(step.bytes), across(following.bytes)))
        points += ends[0] < length and ends[1] > 0 and is_level(step.accuracy, 1)
    return points


def plane(places: Sequence[Place], dark: bool = False) -> go.Figure:
    """Accuracy in % over bytes on a logarithmic axis; the frontier as steps, the chosen networks with their names, the
    pale ones as outlines.
    """
    colours = look(dark)
    edge = frontier(places)
    figure = go.Figure(
        go.Scatter(
            x=[place.bytes for place in edge],
            y=[place.accuracy for place in edge],
            mode="lines",
            line={"shape": "hv", "color": colours.other, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
        )
    )
    sizes = [place.bytes for place in places]
    middle = math.sqrt(min(sizes) * max(sizes))  # of a logarithmic axis: a name is written towards it
    names = beside(places)
    for chosen, pale, (method, symbol) in itertools.product((False, True), (True, False), SYMBOLS.items()):
        shown = [p for p in places if (p.method, p.pale, p.chosen) == (method, pale, chosen)]
        if not shown:
            continue
        colour = colours.accent if chosen else colours.other if pale else colours.main
        figure.add_scatter(
            x=[place.bytes for place in shown],
            y=[place.accuracy for place in shown],
            mode="markers+text" if chosen else "markers",
            text=[place.name for place in shown],
            customdata=[place.label for place in shown],
            textposition=[names.get(place, "top center") for place in shown],
            cliponaxis=False,
            marker={
                "symbol": f"{symbol}-open" if pale else symbol,
                "size": 15 if chosen else 9,
                "color": colour,
                "opacity": 1.0 if chosen or pale else 0.75,
                "line": {"width": 2 if pale else 0},
            },
            name=method,
            hovertemplate=f"{method}, %{{customdata}}<br>%{{x:,}} bytes, %{{y:.2f}} %<extra></extra>",
        )
    for place in places:
        if place.chosen and not place.name:
            side = "right" if place.bytes <= middle else "left"
            below = min(BELOW, key=lambda pixels: covered(place, side, pixels, places))
            figure.add_annotation(
                x=math.log10(place.bytes),
                y=place.accuracy,
                text=place.label,
                ax=GAP if side == "right" else -GAP,
                ay=below,
                xanchor="left" if side == "right" else "right",
                arrowhead=0,
                arrowwidth=1,
                arrowcolor=colours.accent,
                standoff=8,
            )
    lit = [place for place in places if place.chosen]
    for text, size, accuracy in families(places):
        if any(
            place.family in text.split(", ") or together((place.bytes, place.accuracy), (size, accuracy), places)
            for place in lit
        ):
            continue  # a label is there already
        figure.add_annotation(
            x=math.log10(size),
            y=accuracy,
            text=text,
            showarrow=False,
            yanchor="top",
            yshift=-5,
            font={"color": colours.muted},
            bgcolor=colours.ground,  # over the frontier
            borderpad=0,
        )
    low, high = min(place.accuracy for place in places), max(place.accuracy for place in places)
    room = max(high - low, 1.0)
    figure.update_yaxes(range=[low - 0.1 * room, high + 0.06 * room])
    doubling = [25_000 * 2**i for i in range(12) if 25_000 * 2**i < 3 * max(sizes)]
    figure.update_xaxes(title_text="bytes (each gridline doubles)", type="log", tickvals=doubling, tickformat="~s")
    figure.update_yaxes(title_text="% of test images right", nticks=6)
    return finish(figure, colours, height=360, left=39, below=43)
