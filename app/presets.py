"""Presets: the settings worth comparing, and a row of buttons that sets the controls to one of them."""

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app.address import DEFAULT
from app.services import networks
from cfcore.config import Configuration

PRESETS: dict[str, dict[str, Any]] = {  # what each sets beside the model; bits left out stay at 1
    "Float": {"method": "float"},
    "Binary-Weight, m = 1": {"method": "binary-weight", "group_size": 1},
    "XNOR-Net, m = 1": {"method": "xnor", "group_size": 1},
    "Cross-filter, m = 16": {"method": "xnor", "group_size": 16},
    "Layer-wise": {"method": "xnor", "group_size": "layer"},
    "Post-training, 4 bits": {
        "method": "xnor",
        "weight_bits": 4,
        "activation_bits": 4,
        "group_size": 16,
        "source": "post-training",
    },
}
CUSTOM = "Custom"
# only there: on a wide screen it is the page that would scroll
OPENS_AT = "<style>@media (max-width: 640px) {{ .st-key-{} {{ scroll-initial-target: nearest; }} }}</style>"
HELP = {
    "Float": "Nothing is quantized.",
    "Binary-Weight, m = 1": "1-bit weights, one factor per filter; activations stay float.",
    "XNOR-Net, m = 1": "1-bit weights and activations, one factor per filter. XNOR-Net's K, a scale for each input "
    "position, is left out.",
    "Cross-filter, m = 16": "As XNOR-Net, but 16 neighbouring filters share one factor.",
    "Layer-wise": "As XNOR-Net, but all filters of a layer share one factor.",
    "Post-training, 4 bits": "The float network, quantized now to 4-bit weights and activations with m = 16, "
    "without training.",
}


def preset(configuration: Configuration) -> str:
    """The preset that a configuration is one of, whatever its model, or "Custom"."""
    for name, settings in PRESETS.items():
        if configuration == networks.canonical(Configuration.of(model=configuration.model, **settings)):
            return name
    return CUSTOM


def draw(configuration: Configuration) -> None:
    chosen = preset(configuration)
    buttons({name: name for name in PRESETS}, chosen, choose, HELP, CUSTOM, "preset-buttons")
    if chosen in PRESETS:  # on a phone the row is swept along and opens at the chosen one
        st.html(OPENS_AT.format(re.sub(r"[^a-zA-Z0-9_-]", "-", "preset-" + chosen)))


def choose(name: str) -> None:
    """Set every control that the preset names; the others to what a newcomer sees."""
    usual = {"weight_bits": 1, "activation_bits": 1, "order": DEFAULT.order, "source": DEFAULT.source}
    for control, value in {**usual, **PRESETS[name]}.items():
        st.session_state[control] = value
        if value != getattr(DEFAULT, control):
            with contextlib.suppress(StreamlitAPIException):  # a control that is drawn says so itself
                st.query_params[control] = value


def buttons(
    labels: Mapping[str, str],
    chosen: str | None,
    press: Callable[[str], None],
    tips: Mapping[str, str] | None = None,
    otherwise: str = "",
    key: str | None = None,
) -> None:
    """A button for each name, the chosen one marked, or `otherwise` said; `press` is called with the name.

    Not a widget that keeps a value: the browser sends a kept value with every change of another control, and one that
    is older than the page would be taken for a press.
    """
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key=key):
        for name, label in labels.items():
            mark = "radio_button_checked" if name == chosen else "radio_button_unchecked"
            st.button(
                label,
                key=f"preset-{name}",
                icon=f":material/{mark}:",
                help=tips[name] if tips else None,
                on_click=press,
                args=(name,),
            )
        if otherwise and chosen not in labels:
            st.markdown(f":material/radio_button_checked: {otherwise}", width="content")
