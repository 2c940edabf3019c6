"""A button that shows the address of this very screen, and copies it."""

from pathlib import Path

import streamlit as st

ASSETS = Path(__file__).parent / "assets"

_link = st.components.v2.component(
    "link",
    html="""<div class="root"><input readonly aria-label="Address of this screen"><button type="button">Copy</button>
<span role="status"></span></div>""",
    css=(ASSETS / "link.css").read_text(encoding="utf-8"),
    js=(ASSETS / "link.js").read_text(encoding="utf-8"),
)


def draw() -> None:
    with st.popover("Link", icon=":material/link:", type="tertiary", key="link"):
        st.caption("Anyone who opens it sees this screen.")
        _link(key="link-address")
