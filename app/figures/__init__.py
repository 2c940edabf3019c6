"""Records in, plotly figures out. Nothing here knows of streamlit, so that notebooks can draw the same."""
