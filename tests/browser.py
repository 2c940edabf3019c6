"""For tests in a real browser: the explorer's server, a window whose console stays empty, and what hands do in it."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, TimeoutError, expect, sync_playwright

ROOT = Path(__file__).parents[1]
START_SECONDS = 60
WAIT_MS = 60_000  # a busy machine is slow, not wrong
COUNTED_MS = 200_000  # two networks asked about all 10,000 images, on a busy machine
expect.set_options(timeout=WAIT_MS)
COMPLAINT = re.compile(r"error|traceback|warning|deprecat|exception", re.IGNORECASE)  # in the server's log
# Streamlit asks for these below a page's address first, and then where they are.
PROBED = re.compile(r"/[a-z-]+/_stcore/(health|host-config)$")

SETTLED = """() => document.querySelector("[data-testid='stApp'][data-test-script-state='notRunning']")
    && !document.querySelector("[data-stale='true']")
    && !document.getAnimations().some(a => a.playState === "running" && isFinite(a.effect.getComputedTiming().endTime))
"""


@contextmanager
def running_server(log: Path) -> Iterator[tuple[str, int]]:
    """A running explorer that writes to `log`: its address, and the process's number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py", f"--server.port={port}"]
    command += ["--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ})
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
                break
            except (urllib.error.URLError, OSError) as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"The explorer did not start:\n{log.read_text()}") from error
                time.sleep(0.1)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running explorer, whose log must hold no error and no warning at the end."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with running_server(log) as (address, _):
        yield address
    assert [line for line in log.read_text().splitlines() if COMPLAINT.search(line)] == []


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One for all windows of a module; for longer its event loop would be in the way of other modules' own."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One for all windows of a module, so that each finds the scripts compiled; the explorer keeps nothing in it."""
    with browser.new_context() as made:
        yield made


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A new window; a test fails if its console holds an error."""
    window = context.new_page()
    window.set_viewport_size({"width": 1440, "height": 1000})
    window.set_default_timeout(WAIT_MS)
    wrong: list[str] = []
    window.on("console", lambda said: wrong.append(f"{said.text} {said.location['url']}") if is_wrong(said) else None)
    window.on("pageerror", lambda error: wrong.append(str(error)))
    window.on("requestfailed", lambda request: wrong.append(f"{request.url} {request.failure}"))
    yield window
    for one in context.pages:
        one.close()
    assert [line for line in wrong if "ERR_ABORTED" not in line] == []


def is_wrong(said: ConsoleMessage) -> bool:
    return said.type in ("error", "warning") and not PROBED.search(said.location.get("url", ""))


def settled(page: Page) -> None:
    """The script has run, nothing on the screen is of the run before, and nothing is still fading."""
    page.wait_for_function(SETTLED, timeout=WAIT_MS)


def turn_to(page: Page, name: str) -> None:
    """By its link; until the page is there, as right after the click the one before looks settled still."""
    page.get_by_role("link", name=name, exact=True).click()
    title = "Cross-filter compression" if name == "Explorer" else name
    expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()
    settled(page)


def number(page: Page, label: str) -> str:
    """The value of a headline."""
    metric = page.get_by_test_id("stMetric").filter(has_text=re.compile(rf"^{label}"))
    return metric.get_by_test_id("stMetricValue").inner_text()


def expect_number(page: Page, label: str, value: str) -> None:
    metric = page.get_by_test_id("stMetric").filter(has_text=re.compile(rf"^{label}"))
    expect(metric.get_by_test_id("stMetricValue")).to_have_text(value)


def choose(page: Page, control: str, value: str) -> None:
    """With the keyboard alone, until the control holds it: a list that is drawn anew meanwhile drops what was typed."""
    field, option = page.locator(f".st-key-{control} input"), page.get_by_role("option", name=value, exact=True)
    for _ in range(12):
        field.focus()
        page.keyboard.type(value)
        try:
            option.wait_for(timeout=WAIT_MS / 12)
            page.keyboard.press("Enter")
            option.wait_for(state="detached", timeout=WAIT_MS / 12)
            expect(field).to_have_value(value, timeout=WAIT_MS / 12)
            return
        except (TimeoutError, AssertionError):
            page.keyboard.press("Escape")
    raise AssertionError(f"{control} does not become {value}")
