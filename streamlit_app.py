"""The explorer's page configuration and its pages; nothing else. Start it with `make app`."""

from pathlib import Path

import streamlit as st

ICON = Path(__file__).parent / "app" / "assets" / "icon.png"

if __name__ == "__main__":  # the worker process imports this file too, and must not run it
    st.set_page_config(page_title="Cross-filter compression", page_icon=str(ICON), layout="wide")
    st.html("<style>.stMainBlockContainer { padding-top: 4rem; }</style>")  # below the toolbar, and no lower
    st.navigation([st.Page("app/views/explorer.py", title="Explorer", default=True)], position="hidden").run()
