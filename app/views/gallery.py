"""Small pictures side by side, as many in a row as fit, sharp at any size."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from app.services import predictions
from app.services.predictions import Shown

SHARP = "image-rendering:pixelated;width:100%;aspect-ratio:1;display:block;border-radius:4px"
WHOLE = "max-width:100%;min-width:2px;min-height:2px;display:block;border-radius:4px"
GRID = "display:grid;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr));gap:1.25rem 0.9rem"
NOTE = "margin:0.35rem 0 0;font-size:0.875rem;line-height:1.45;overflow-wrap:anywhere"


def gallery(images: Sequence[Shown]) -> None:
    """Test images with both networks' answers below. Raises DataError where the test set is not there."""
    pictures = predictions.thumbnails([shown.image for shown in images])
    figures = "".join(_figure(shown, picture) for shown, picture in zip(images, pictures, strict=True))
    st.html(f'<div style="{GRID}">{figures}</div>')


def _figure(shown: Shown, picture: str) -> str:
    alt = f"Test image {shown.image}: a picture of class {shown.true}"
    lines = [f"<strong>{escape(shown.true)}</strong> · no. {shown.image}"]
    lines += [
        _answer("float", shown.before, shown.before_confidence, shown.true),
        _answer("now", shown.after, shown.after_confidence, shown.true),
    ]
    return (
        f'<figure style="margin:0">{_image(picture, alt)}<figcaption style="{NOTE}">{"<br>".join(lines)}</figcaption>'
        "</figure>"
    )


def _answer(who: str, name: str, confidence: float, true: str) -> str:
    mark = "✓" if name == true else "✗"
    word = "right" if name == true else "wrong"
    return f'{who} <span role="img" aria-label="{word}">{mark}</span> {escape(name)} {confidence:.0f} %'


def _image(source: str, alt: str) -> str:
    return f'<img src="{source}" alt="{escape(alt)}" style="{SHARP}">'


def plain(png: bytes, alt: str) -> None:
    """One picture, at most as wide as its column."""
    st.html(f'<img src="{predictions.data_uri(png)}" alt="{escape(alt)}" style="{WHOLE}">')


def sharp(png: bytes, alt: str) -> None:
    """One picture, as wide as its column."""
    st.html(f'<div style="max-width:18rem">{_image(predictions.data_uri(png), alt)}</div>')
