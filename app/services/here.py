"""The machine that serves the page, and the versions of what runs on it."""

import platform
from importlib.metadata import version

import streamlit as st

from cfcore import __version__
from cfcore.kernels.machine import this_machine

PACKAGES = ("torch", "numba", "numpy", "streamlit", "plotly")


@st.cache_resource(max_entries=1, show_spinner=False)
def facts() -> dict[str, str]:
    """What a number measured here depends on."""
    machine = this_machine()
    return {
        "Processor": f"{machine.cpu}, {machine.cores} cores",
        "Kernels use": machine.vectors,
        "System": f"{platform.system()} {platform.release()}",
        "Python": machine.python,
        "This project": __version__,
        **{name: version(name) for name in PACKAGES},
    }
