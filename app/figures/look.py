"""Colours and layout of every figure, for a light and a dark ground, and how it writes a ratio. Stated in full, as
streamlit changes plotly's defaults.

The colours are those of Okabe and Ito (2008), which people with any common colour blindness can tell apart, a little
lighter on the dark ground.
"""

import functools
from dataclasses import dataclass

import plotly.graph_objects as go

LETTER = 6.0  # pixels, of a label at the size of the ticks
FONT = '"Source Sans", "Source Sans Pro", system-ui, sans-serif'


@dataclass(frozen=True)
class Look:
    """Every colour that a figure uses.

    ground            of the page, as .streamlit/config.toml has it
    ink, muted, grid  text, secondary text, lines
    main              what the page is about: this configuration, the packed kernel
    other             what it is compared with
    accent            scaling factors, and what is chosen
    parts             of a network's bytes, by the field of `cfcore.cost.Bytes`
    """

    ground: str
    ink: str
    muted: str
    grid: str
    main: str
    other: str
    accent: str
    parts: dict[str, str]

    @functools.cached_property
    def template(self) -> go.layout.Template:
        """What all figures share: quiet grid, small margins, no legend, nothing to drag. Made once: plotly checks every
        value that it is given, which takes longer than all else about a figure.
        """
        axis = {
            "showgrid": True,
            "gridcolor": self.grid,
            "showline": True,
            "linecolor": self.grid,
            "zeroline": False,
            "title": {"font": {"size": 12, "color": self.muted}, "standoff": 6},
            "automargin": True,
            "fixedrange": True,
        }
        return go.layout.Template(
            layout={
                "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
                "paper_bgcolor": self.ground,  # a picture that is downloaded has one too
                "plot_bgcolor": "rgba(0,0,0,0)",
                "font": {"family": FONT, "size": 13, "color": self.ink},
                "hoverlabel": {"font": {"family": FONT, "size": 13}},
                "showlegend": False,
                "dragmode": False,
                "bargap": 0.35,
                "xaxis": {**axis, "tickfont": {"color": self.muted}},
                "yaxis": {**axis, "tickfont": {"color": self.ink}},
            }
        )


LIGHT = Look(
    ground="#ffffff",
    ink="#0e161d",
    muted="#52606b",
    grid="#dfe5ea",
    main="#0072b2",
    other="#9aa7b2",
    accent="#d55e00",
    parts={
        "weights": "#0072b2",
        "scales": "#d55e00",
        "order": "#cc79a7",
        "float_layers": "#7d8a95",
        "batch_norm": "#009e73",
        "padding": "#e69f00",
    },
)
DARK = Look(
    ground="#11171d",
    ink="#e4eaef",
    muted="#a3b0bb",
    grid="#2c3843",
    main="#56b4e9",
    other="#6f7d89",
    accent="#f28e4b",
    parts={
        "weights": "#56b4e9",
        "scales": "#f28e4b",
        "order": "#d99bc0",
        "float_layers": "#8b98a4",
        "batch_norm": "#35b68f",
        "padding": "#e6b84d",
    },
)


def look(dark: bool) -> Look:
    return DARK if dark else LIGHT


def finish(
    figure: go.Figure, colours: Look, height: int, left: float | None = None, below: float | None = None
) -> go.Figure:
    """Lay out a figure: as its template says, unless the figure says otherwise.

    left, below  pixels for what stands beside the axes, where that is known. Else the browser measures it and draws the
                 figure again.
    """
    figure.layout.template = colours.template
    figure.layout.height = height
    if left is not None and below is not None:
        figure.layout.margin = {"l": left, "b": below}
        figure.for_each_xaxis(_fixed)
        figure.for_each_yaxis(_fixed)
    return figure


def _fixed(axis: go.layout.XAxis | go.layout.YAxis) -> None:
    axis.automargin = False


def factor(times: float) -> str:
    """How many times as fast, with as many digits as tell which is faster.

    >>> factor(7.24), factor(1.02), factor(0.348), factor(12.0)
    ('7.2×', '1.02×', '0.35×', '12.0×')
    """
    return f"{times:.{1 if times >= 1.1 else 2}f}×"
