"""The table of bits: a component that steps through the words, and says which bit was pressed. It computes nothing."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app.figures import bits as figures
from app.services.bits import Flip, Step
from app.views import words_bits as words

KEY = "bits_table"
ASSETS = Path(__file__).parents[1] / "assets"
MEANS = {  # of a bit, by its value
    words.XOR: {"activation": ["−1", "+1"], "weight": ["−1", "+1"]},
    words.AND: {"activation": ["0", "1"], "weight": ["−1", "+1"]},
}
PRESSED = re.compile(r"(activation|weight),(\d{1,3}),(\d{1,3})")

_table = st.components.v2.component(
    "bit_table",
    html='<div class="root"></div>',
    css=(ASSETS / "bit_table.css").read_text(encoding="utf-8"),
    js=(ASSETS / "bit_table.js").read_text(encoding="utf-8"),
)


def bit_table(
    steps: Sequence[Step],
    mode: str,
    first: int,
    turned: Sequence[Flip],
    planes: tuple[int, int] | None,
    dark: bool,
    pressed: Callable[[str, int, int], None],
) -> None:
    """Show steps from channel `first` on; call `pressed(operand, tap, channel)` for a bit, counted from that channel.

    turned  flips of the planes that are shown
    planes  (activation, weight) where there are several
    """

    def on_flip() -> None:
        found = PRESSED.fullmatch(str(st.session_state[KEY].get("flip")))  # a browser sends it: anything may come
        if found and int(found[2]) < len(steps) and int(found[3]) < len(steps[0].joined):
            pressed(found[1], int(found[2]), int(found[3]))

    _table(
        key=KEY,
        data=content(steps, mode, first, turned, planes) | {"colours": figures.table_colours(dark)},
        on_flip_change=on_flip,
    )


def content(
    steps: Sequence[Step], mode: str, first: int, turned: Sequence[Flip], planes: tuple[int, int] | None
) -> dict[str, Any]:
    """Everything that the table shows, in its final words."""
    width, kernel = len(steps[0].joined), round(len(steps) ** 0.5)
    operands = ["activations", "weights"]
    if planes:
        operands = [f"{name}, plane {plane} (× {2**plane})" for name, plane in zip(operands, planes, strict=True)]
    last = steps[-1]
    return {
        "label": f"Words of {width} channels, tap by tap. Their sum is {last.total}, in float {last.float_total}.",
        "start": f"A word holds {width} channels of one tap. Press Step to join the first pair of words.",
        "words": [*operands, mode],
        "heads": words.heads(mode, width),
        "means": MEANS[words.AND if mode == words.AND else words.XOR],
        "channels": list(range(first, first + width)),
        "rows": [
            {
                "name": words.name(step, kernel),
                "fixed": not step.inside,
                "activation": step.activations,
                "weight": step.weights,
                "joined": [1 - bit for bit in step.joined] if mode == words.XNOR else step.joined,
                "turned": [f"{flip.operand},{flip.channel}" for flip in turned if flip.tap == step.tap],
                "numbers": words.numbers(step, mode),
                "said": words.said(steps[: step.tap + 1], mode),
            }
            for step in steps
        ],
    }
