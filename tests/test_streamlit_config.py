"""The server's settings: every one is known to Streamlit, and the themes can be read by everyone."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawing import contrast
from streamlit import config

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
CAPTION = 0.6  # Streamlit's opacity of a caption


def flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def laid_over(ink: str, ground: str, opacity: float) -> str:
    """The colour that translucent ink shows on a ground."""
    pairs = ((int(ink[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(opacity * over + (1 - opacity) * under):02x}" for over, under in pairs)


def test_contrast_of_known_pairs() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_streamlit_knows_every_setting() -> None:
    known = config.get_config_options()
    assert [name for name, _ in flat(SETTINGS) if name not in known] == []


def test_nothing_is_told_to_others() -> None:
    settings = dict(flat(SETTINGS))
    assert settings["browser.gatherUsageStats"] is False
    assert settings["client.showErrorDetails"] == "none"
    assert settings["server.maxUploadSize"] <= 5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["backgroundColor", "secondaryBackgroundColor"])
@pytest.mark.parametrize("ink", ["textColor", "linkColor", "codeTextColor", "primaryColor"])
def test_text_can_be_read(theme: str, ground: str, ink: str) -> None:
    colours = SETTINGS["theme"][theme]
    assert contrast(colours[ink], colours[ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["backgroundColor", "secondaryBackgroundColor"])
def test_captions_can_be_read(theme: str, ground: str) -> None:
    colours = SETTINGS["theme"][theme]
    assert contrast(laid_over(colours["textColor"], colours[ground], CAPTION), colours[ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_white_marks_on_the_accent_can_be_seen(theme: str) -> None:
    """The tick in a checkbox is white on the accent. A mark needs 3; text would need 4.5: see the next test."""
    assert contrast("#ffffff", SETTINGS["theme"][theme]["primaryColor"]) >= 3


def test_no_text_is_white_on_the_accent() -> None:
    """Streamlit writes white on primary buttons and multiselect chips. In the dark theme no accent reads well both as
    text on the ground and under white text, and tabs, sliders and segments use the first. So: plain buttons, and pills.
    """
    sources = [*ROOT.glob("app/**/*.py"), *ROOT.glob("streamlit_app.py")]
    filled = re.compile(r"""type=["']primary["']|\.multiselect\(""")
    assert [path.name for path in sources if filled.search(path.read_text(encoding="utf-8"))] == []
