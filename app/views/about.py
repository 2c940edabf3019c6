"""What is this, what does it run on, and where does it come from?"""

import streamlit as st

from app.services import here
from app.views import words


def page() -> None:
    st.title("About", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("What you see", anchor=False)
        st.markdown(words.ABOUT)
        st.subheader("Sources", anchor=False)
        st.markdown(words.SOURCES)
    with right:
        st.subheader("This machine", anchor=False)
        st.caption("It serves this page, and whatever is measured here is measured on it.")
        st.table(here.facts(), border="horizontal")


if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
