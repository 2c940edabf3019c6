"""Every page in a real browser: it opens complete, keeps the configuration, and can be read by everybody."""

import re
import runpy

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import COUNTED_MS, ROOT, choose, settled, turn_to
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

PAGES = runpy.run_path(str(ROOT / "streamlit_app.py"))["PAGES"]


def opened(page: Page, address: str) -> None:
    """The complete page: no job is still computing for it."""
    page.goto(address.replace("/explorer", "/"))  # the first page has no address of its own
    settled(page)
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0, timeout=COUNTED_MS)
    settled(page)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_test_id("stMainBlockContainer")).to_have_css("padding-top", "64px")  # STYLE came, maybe later
    expect(page.get_by_test_id("stException")).to_have_count(0)


@pytest.mark.parametrize("view", [*PAGES, "scaling?source=post-training"])  # where there is a formula to scroll
def test_it_fits_on_a_phone_and_axe_finds_nothing_serious(server: str, page: Page, view: str) -> None:
    for scheme, ground in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(17, 23, 29)")):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": 390, "height": 844})
        opened(page, f"{server}/{view}")
        widths = page.get_by_test_id("stMain").evaluate("main => [main.scrollWidth, main.clientWidth]")
        assert widths[0] <= widths[1]
        assert page.get_by_test_id("stApp").evaluate("app => getComputedStyle(app).backgroundColor") == ground

        page.set_viewport_size({"width": 1440, "height": 1000})
        settled(page)
        if view not in ("lessons", "about"):
            page.get_by_role("button", name="Show the code", exact=True).last.click()
            expect(page.get_by_test_id("stPopoverBody").last).to_be_visible()
        expect(page.get_by_role("button", name="Link", exact=True)).to_be_visible()
        settled(page)
        assert serious(page) == []


def serious(page: Page) -> list[tuple[str, list[tuple[str, str]]]]:
    """What axe-core finds: each rule that is broken, with the elements that break it, and how."""
    return [
        (found["id"], [(node["html"][:200], node["failureSummary"]) for node in found["nodes"]])
        for found in Axe().run(page).response["violations"]
        if found["impact"] in ("serious", "critical")
    ]


def test_one_configuration_goes_with_the_reader_through_all_pages(server: str, page: Page) -> None:
    opened(page, f"{server}/?method=binary-weight&group_size=4")
    for view, title in list(PAGES.items())[1:]:
        turn_to(page, title)
        expect(page).to_have_url(re.compile(rf"/{view}\?"))
        expect(page).to_have_title(f"{title} · Cross-filter compression")
        expect(page.locator(".st-key-group_size input")).to_have_value("4")
    turn_to(page, "What-if")
    expect(page.locator(".st-key-controls")).to_be_visible()  # Lessons and About hide them
    choose(page, "group_size", "8")
    settled(page)
    turn_to(page, "About")
    expect(page.locator(".st-key-controls")).to_be_hidden()
    turn_to(page, "Explorer")
    expect(page.locator(".st-key-group_size input")).to_have_value("8")
    assert "group_size=8" in page.url
    assert "method=binary-weight" in page.url
