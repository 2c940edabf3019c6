"""For tests of figures and colours: that a figure is its own, and how well one colour shows on another."""

import json
from collections.abc import Callable, Iterable

import plotly.graph_objects as go
import plotly.io as pio

from app.figures.look import look


def brings_its_own_look(draw: Callable[[], Iterable[go.Figure]], dark: bool) -> None:
    """Streamlit sets plotly's default template when it is imported: nothing of it may reach a figure."""
    before, drawn = pio.templates.default, []
    try:
        for template in ("plotly", "plotly_dark"):
            pio.templates.default = template
            drawn.append([json.loads(figure.to_json()) for figure in draw()])
    finally:
        pio.templates.default = before
    assert drawn[0] == drawn[1]
    for figure in drawn[0]:
        shared = figure["layout"]["template"]["layout"]
        assert (shared["font"]["color"], shared["paper_bgcolor"]) == (look(dark).ink, look(dark).ground)


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, 0 to 1 (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """1 for the same colour, 21 for black on white."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
