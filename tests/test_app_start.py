"""What is loaded before a page is drawn."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent

LOADED = """
import sys
import plotly.graph_objects as go
from screen import page

drawn = []
figure = go.Figure.__init__
def look(*args, **kwargs):
    drawn.append("pandas" in sys.modules)
    figure(*args, **kwargs)
go.Figure.__init__ = look
assert "pandas" not in sys.modules
page("explorer")
assert drawn and all(drawn), drawn
"""


def test_no_chart_is_drawn_before_pandas_is_whole() -> None:
    """plotly looks for it among what is loaded: half loaded, by the table of another session, it broke charts."""
    path = {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
    done = subprocess.run([sys.executable, "-c", LOADED], env=os.environ | path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
