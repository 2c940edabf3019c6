"""How quickly the explorer answers, measured in a real browser: `make measure`. Run nothing else meanwhile.

Prints each time with its bar. Nothing here is a test: times depend on the machine.
"""

import argparse
import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from playwright.async_api import Page as PageOfMany
from playwright.async_api import TimeoutError, async_playwright
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser import WAIT_MS, running_server, settled

from app.presets import PRESETS
from app.services import networks
from cfcore.config import Configuration
from cfcore.manifest import Entry

CHANGES = 50
CONTROLS = ("model", "weight_bits", "activation_bits", "group_size")
SESSIONS, SECONDS = 20, 180.0
ONE_BIT = ((1, 1), (1, 32))  # weight × activation bits that choosing a method leads to
# Both look whenever something changes: asking from outside would add up to half a second.
# The clock starts with the next key.
WATCH = """([selector, pattern]) => {
    let pressed = null;
    window.shownAfter = null;
    addEventListener("keydown", () => { pressed = performance.now(); }, {capture: true, once: true});
    new MutationObserver((_, watch) => {
        const found = [...document.querySelectorAll(selector)].some(one => new RegExp(pattern).test(one.textContent));
        if (!pressed || !found) return;
        window.shownAfter = performance.now() - pressed;
        watch.disconnect();
    }).observe(document, {subtree: true, childList: true, characterData: true});
}"""
# Every headline and every chart of the Explorer is there, and the script has ended; counted from the navigation.
COMPLETE = """() => {
    const count = selector => document.querySelectorAll(selector).length;
    new MutationObserver((_, watch) => {
        const ended = count("[data-testid='stApp'][data-test-script-state='notRunning']");
        if (!ended || count("[data-testid='stMetricValue']") < 4 || count(".js-plotly-plot .subplot.xy") < 3) return;
        window.completeAfter = performance.now();
        watch.disconnect();
    }).observe(document, {subtree: true, childList: true, attributes: true});
}"""
METRIC, PROGRESS = "[data-testid='stMetric']", "[data-testid='stProgress']"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crowd", action="store_true", help=f"{SESSIONS} sessions for {SECONDS:.0f} s instead")
    crowd_only = parser.parse_args().crowd
    print(f"this machine now: {rate():.0f} GMAC/s in torch fp32; times go with it")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder) / "log.txt") as (address, process):
        if crowd_only:
            return crowd(address, process)
        alone(address, started)


def rate() -> float:
    """What all cores make of a float32 matrix product: shared machines differ by the hour."""
    size, best = 512, float("inf")
    a = torch.randn(size, size)
    for _ in range(100):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return size**3 / best / 1e9


def alone(address: str, started: float) -> None:
    """One reader, for whom the server was started."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(address)
        complete(page)
        report("cold start to the first complete page", [time.perf_counter() - started], 10.0)
        report("first page complete, warm", [first_page(browser, address) for _ in range(5)], 3.0)
        changes = control_changes(page, address)
        report(f"{len(changes)} control changes to the new accuracy, median", [statistics.median(changes)], 0.25)
        report(f"{len(changes)} control changes, 95th percentile", [statistics.quantiles(changes, n=20)[-1]], 0.6)
        shown = [post_training(page, address, m, PROGRESS, "^(?!For comparison)") for m in (4, 8, 1)]
        report("post-training: progress visible", shown, 0.3)
        counted = [post_training(page, address, m, METRIC, "^Accuracy.*so far") for m in (32, "layer", 2)]
        report("post-training: first 1,000 images counted", counted, 2.5)
        browser.close()


def launched(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])


def report(what: str, seconds: list[float], bar: float) -> None:
    """One line: the median, and whether it is within its bar."""
    median = statistics.median(seconds)
    if len(seconds) > 1:
        what += f", median of {len(seconds)}"
    print(f"{what:<58} {median:7.3f} s   bar {bar:5.2f} s   {'yes' if median <= bar else 'NO'}")


def complete(page: Page) -> None:
    """Every headline and every chart of the Explorer is there."""
    page.get_by_test_id("stMetricValue").nth(3).wait_for(timeout=WAIT_MS)
    page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=WAIT_MS)
    settled(page)


def first_page(browser: Browser, address: str) -> float:
    """Seconds, by the page's own clock, from the navigation of a browser that has seen nothing to the complete page."""
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.add_init_script(f"({COMPLETE})()")
    page.goto(address)
    page.wait_for_function("window.completeAfter", timeout=WAIT_MS)
    seconds = float(page.evaluate("window.completeAfter")) / 1000
    page.close()
    return seconds


def trained() -> list[Entry]:
    """The shipped quantized networks whose filters share in order of index."""
    chosen = [entry for entry in networks.shipped() if entry.configuration.order == "index"]
    return [entry for entry in chosen if entry.configuration.method != "float"]


def control_changes(page: Page, address: str) -> list[float]:
    """Seconds from changing one control, any of `CONTROLS`, to the accuracy of that network, which has to be the
    manifest's: a walk over the trained grid.
    """
    draw, times = random.Random(0), list[float]()
    entry = draw.choice(trained())
    page.goto(f"{address}/?{query(entry.configuration)}")
    complete(page)
    for _ in range(CHANGES):
        ways = {control: others for control in CONTROLS if (others := reached(entry, control))}
        control = draw.choice(list(ways))
        entry = draw.choice(ways[control])
        accuracy = rf"^Accuracy.*{entry.accuracy:.2f} %"
        times.append(after_enter(page, control, getattr(entry.configuration, control), METRIC, accuracy))
    return times


def reached(entry: Entry, control: str) -> list[Entry]:
    """The trained networks that a control alone leads to, and whose accuracy is not on the screen already."""
    own = entry.configuration.to_dict()
    return [
        other
        for other in trained()
        if {name for name, value in other.configuration.to_dict().items() if value != own[name]} == {control}
        and f"{other.accuracy:.2f}" != f"{entry.accuracy:.2f}"
    ]


def after_enter(page: Page, control: str, value: object, selector: str, pattern: str) -> float:
    """Seconds, by the page's own clock, from the key that sets a control to an element with such a text."""
    page.locator(f".st-key-{control} input").focus()
    page.keyboard.type(str(value))
    page.evaluate(WATCH, [selector, pattern])
    page.keyboard.press("Enter")
    page.wait_for_function("window.shownAfter !== null", timeout=WAIT_MS)
    return float(page.evaluate("window.shownAfter")) / 1000


def query(configuration: Configuration) -> str:
    names = ("model", "method", "weight_bits", "activation_bits", "group_size", "order", "source")
    return "&".join(f"{name}={getattr(configuration, name)}" for name in names)


def post_training(page: Page, address: str, group_size: object, *watched: str) -> float:
    """Seconds from asking to what is watched, where another network has been quantized and counted before."""
    page.goto(f"{address}/?weight_bits=2&activation_bits=2&source=post-training")
    complete(page)
    page.locator(METRIC).filter(has_text="%").first.wait_for(timeout=WAIT_MS)
    page.get_by_text("so far").wait_for(state="detached", timeout=WAIT_MS)
    return after_enter(page, "group_size", group_size, *watched)


def crowd(address: str, process: int) -> None:
    """Many sessions change controls at once, each checks its own numbers, and the server's memory is watched."""
    visits = asyncio.run(crowded(address, process))
    wrong = [line for visit in visits for line in visit.wrong]
    print(f"{SESSIONS} sessions, {sum(visit.changes for visit in visits)} changes, {len(wrong)} errors")
    for line in wrong[:10]:
        print(line)
    sys.exit(bool(wrong))


@dataclass
class Visit:
    """One session of the crowd: what it changed, and what went wrong."""

    page: PageOfMany
    draw: random.Random
    changes: int = 0
    wrong: list[str] = field(default_factory=list)


async def crowded(address: str, process: int) -> list[Visit]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        visits = []
        for number in range(SESSIONS):  # one after the other: what is measured is what they do then
            context = await browser.new_context(viewport={"width": 1000, "height": 800})
            visit = Visit(await context.new_page(), random.Random(number))
            visit.page.set_default_timeout(WAIT_MS)
            visit.page.on("pageerror", lambda error, visit=visit: visit.wrong.append(str(error)))
            await visit.page.goto(address)
            await visit.page.get_by_test_id("stMetricValue").nth(3).wait_for()
            visits.append(visit)
        until = time.monotonic() + SECONDS
        watch = asyncio.create_task(watch_memory(process, until))
        await asyncio.gather(*(change_controls(visit, until) for visit in visits))
        await watch
        await browser.close()
    return visits


async def change_controls(visit: Visit, until: float) -> None:
    """Change what is shown; accuracy and bytes have to be those of the manifest and of the ledger.

    Now by a preset, now by the method and the group size, one right after the other.
    """
    named = {name: networks.trained(Configuration.of(**settings)) for name, settings in PRESETS.items()}
    presets = [(name, entry) for name, entry in named.items() if entry is not None]
    own = [e for e in trained() if e.configuration.model == Configuration().model]  # nobody chooses another model
    one_bit = [("", e) for e in own if (e.configuration.weight_bits, e.configuration.activation_bits) in ONE_BIT]
    try:
        while time.monotonic() < until:
            name, entry = visit.draw.choice(visit.draw.choice([presets, one_bit]))
            if name:
                await visit.page.get_by_role("button", name=name).click()
            else:
                if not await visit.page.locator(".st-key-group_size").count():  # the float network has none
                    continue
                for control in ("method", "group_size"):
                    await choose_by_key(visit.page, control, str(getattr(entry.configuration, control)))
            size = networks.network_cost(entry.configuration).bytes.total
            for label, value in (("Accuracy", f"{entry.accuracy:.2f} %"), ("Memory", f"{size:,} bytes")):
                metric = visit.page.get_by_test_id("stMetric").filter(has_text=label)
                await metric.get_by_text(value, exact=True).wait_for()
            if await visit.page.get_by_test_id("stException").count():
                visit.wrong.append("an exception is shown")
            visit.changes += 1
    except Exception as error:  # whatever it was, it is the answer
        visit.wrong.append(str(error))


async def choose_by_key(page: PageOfMany, control: str, value: str) -> None:
    """Type a choice. A list that a redrawn page has closed meanwhile is opened again, as a reader would."""
    box, option = page.locator(f".st-key-{control} input"), page.get_by_role("option", name=value, exact=True)
    for _ in range(5):
        await box.focus()
        await page.keyboard.type(value)
        try:
            await option.wait_for(timeout=5000)
        except TimeoutError:
            await page.keyboard.press("Escape")
        else:
            await page.keyboard.press("Enter")
            return
    raise TimeoutError(f"{control} never offered {value}")


async def watch_memory(process: int, until: float) -> None:
    memory = []
    while time.monotonic() < until:
        await asyncio.sleep(10)
        memory.append(resident(process))
    settled_at = memory[len(memory) // 3]  # the first minute fills the caches
    print(
        f"memory {settled_at:.0f} MB after a third, {memory[-1]:.0f} MB at the end, {memory[-1] / settled_at - 1:+.1%}"
    )


def resident(process: int) -> float:
    """Megabytes of memory that a process holds (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


if __name__ == "__main__":
    main()
