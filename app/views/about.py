"""What is this, what does it run on, and where does it come from?"""

import streamlit as st

from app.services import here
from app.views import words
from app.views.parts import ask, follow, not_done


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
        st.caption("It serves this page; whatever is measured here runs on it.")
        status = ask(here.Vectors())
        st.table(here.facts(status.value), border="horizontal")
        if status.active:
            follow(here.Vectors())
        elif status.state != "done":
            not_done(here.Vectors(), status)


if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
