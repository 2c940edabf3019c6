"""The Predictions page in a real browser: from an address to changed answers, one's own picture, and back."""

import io
import re

import pytest
from browser import COUNTED_MS, choose, number, settled
from PIL import Image
from playwright.sync_api import Page, expect

from app.services import networks
from cfcore.config import Configuration
from cfcore.images import load_test_set

pytestmark = pytest.mark.browser

CHANCE = 10  # images that sums in another order may tip, in each network


def counted(page: Page) -> None:
    """Until all images are; the caption says how."""
    expect(page.get_by_text(re.compile(r"of 10,000 test images are classified correctly; float gets"))).to_be_visible(
        timeout=COUNTED_MS
    )
    settled(page)


def whole(page: Page, label: str) -> int:
    return int(number(page, label).replace(",", ""))


def test_the_answers_that_changed_are_found_and_found_again(server: str, page: Page) -> None:
    page.goto(f"{server}/predictions")
    counted(page)
    entry, floats = (networks.trained(c) for c in (Configuration(), Configuration.of(method="float")))
    assert entry is not None
    assert floats is not None
    lost, won = whole(page, "Right before, wrong now"), whole(page, "Wrong before, right now")
    assert lost > won > 0
    assert abs(won - lost - 100 * (entry.accuracy - floats.accuracy)) <= 2 * CHANCE
    pictures = page.locator("figure img")
    expect(pictures).to_have_count(16)
    first = pictures.first.get_attribute("alt")
    assert page.evaluate("[...document.querySelectorAll('figure img')].every(image => image.naturalWidth == 32)")

    page.get_by_role("button", name="Page 2", exact=True).focus()
    page.keyboard.press("Enter")
    expect(pictures.first).not_to_have_attribute("alt", str(first))
    choose(page, "class", "cat")
    expect(pictures.first).to_have_attribute("alt", re.compile("class cat$"))
    choose(page, "named", "dog")
    answers = page.locator("figure figcaption")
    expect(answers.first).to_contain_text(re.compile(r"now ✗ dog \d+ %"))
    expect(answers.filter(has_not_text="now ✗ dog")).to_have_count(0)  # the first may have been a dog before
    settled(page)
    seen = [picture.get_attribute("alt") for picture in pictures.all()]
    assert "class=cat" in page.url
    assert "named=dog" in page.url

    page.reload()  # the address alone brings it back
    expect(answers.first).to_contain_text("now ✗ dog")
    assert [picture.get_attribute("alt") for picture in pictures.all()] == seen


def test_a_picture_of_ones_own_is_named_by_both(server: str, page: Page) -> None:
    """A test image, enlarged and with a broad frame, is seen as it was, so both say what they said to it."""
    images, out = load_test_set(), io.BytesIO()
    wide = Image.new("RGB", (960, 320))
    wide.paste(Image.fromarray(images.pixels[1]).resize((320, 320), Image.Resampling.NEAREST), (320, 0))
    wide.save(out, "PNG")
    page.goto(f"{server}/predictions")
    counted(page)
    chooser = page.locator("[data-testid=stFileUploader] input[type=file]")
    chooser.set_input_files({"name": "ship.png", "mimeType": "image/png", "buffer": out.getvalue()})
    expect(page.get_by_alt_text("Your picture as the network sees it, 32 × 32 pixels")).to_be_visible()
    expect(page.get_by_text("320 × 320 of 960 × 320 pixels")).to_be_visible()
    expect(page.get_by_text(re.compile("^then ")).last).to_be_visible(timeout=COUNTED_MS)
    settled(page)
    assert number(page, "Float") == number(page, "This network") == "ship"

    chooser.set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"GIF89a, or so it says"})
    expect(page.get_by_text("This file holds no PNG, JPEG or WebP picture, whatever its name.")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
