"""The explorer's page configuration, its pages, and the controls they share; nothing else. `make app` starts it."""

from base64 import b64encode
from pathlib import Path

ICON = (Path(__file__).parent / "app" / "assets" / "icon.png").read_bytes()
ICON_URL = "data:image/png;base64," + b64encode(ICON).decode()  # a file of its own is gone for a moment in each run
PAGES = {  # by module of app/views, which is the page's address too
    "explorer": "Explorer",
    "scaling": "Scaling factors",
    "bits": "Bitwise convolution",
    "speed": "Kernel speed",
    "model": "Cost model",
    "predictions": "Predictions",
    "whatif": "What-if",
    "lessons": "Lessons",
    "about": "About",
}
APART = {"lessons", "about"}  # the shared controls say nothing about these
WHOLE = {"predictions", "whatif"}  # nor the choice of a layer about these
STYLE = """<style>
[data-testid="stElementContainer"]:has(> .stMarkdown style) { display: none; } /* this very text: no empty line */
[data-testid="stTopNavLink"]:focus-visible { outline: 2px solid currentColor; } /* its own mark is too faint to see */
.stMainBlockContainer { padding-top: 4rem; } /* below the toolbar, and no lower */
[data-testid="stPopoverButton"]:is(:active, [aria-expanded="true"]) { color: inherit; } /* else dark on dark */
@media (min-width: 1280px) { /* room for all that a card comes to say, so that nothing below moves */
    .st-key-headlines [data-testid="stHorizontalBlock"] { min-height: 26.5rem; }
}
@media (min-width: 641px) and (max-width: 1279px) { /* a projector: two beside each other, or numbers are cut off */
    .st-key-headlines [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
    .st-key-headlines [data-testid="stColumn"] { flex: 1 1 calc(50% - 1rem); min-width: calc(50% - 1rem); }
}
@media (max-width: 640px) { /* a phone: the presets in one row that is swept along */
    .st-key-presets { flex-wrap: nowrap; }
    .st-key-preset-buttons { flex-wrap: nowrap; overflow-x: auto; padding: 4px 2rem 4px 4px; /* faint at the edge: */
        mask-image: linear-gradient(to right, #000 calc(100% - 2rem), transparent); } /* there is more */
    .st-key-preset-buttons > * { flex: none; }
}
</style>"""

if __name__ == "__main__":  # the worker process reads this file too, and needs none of it
    import pandas  # noqa: F401, as plotly takes what another session's page has half loaded for the whole
    import streamlit as st

    from app import address, state
    from app.services import networks, tasks

    pages = [
        st.Page(f"app/views/{view}.py", title=title, url_path=view, default=view == "explorer")
        for view, title in PAGES.items()
    ]
    page = st.navigation(pages, position="top")
    st.set_page_config(page_title=f"{page.title} · Cross-filter compression", page_icon=ICON_URL, layout="wide")
    st.markdown(STYLE, unsafe_allow_html=True)  # with the page itself: st.html fetches its own code first
    state.controls(
        hidden=page.url_path in APART, layer=page.url_path not in WHOLE
    )  # drawn here, they keep their values, and the address, on every page
    tasks.warm_up(networks.folder())  # before the page asks for more
    refused = st.container()
    page.run()
    with refused:
        address.tell_rest()
