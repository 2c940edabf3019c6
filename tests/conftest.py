"""What every test relies on: fixed seeds, and browser tests that may not vanish where a browser is required."""

import os
import random
import shutil
import sys
from collections.abc import Generator
from typing import Any

import pytest

from app.services import tasks
from cfcore import openmp

pytest_plugins = ["browser", "screen", "working"]  # fixtures: a browser; what a page needs; a worker process

openmp.give_way()  # several tests at once on few cores

LONG = ("test_kernels_machines", "test_notebooks", "test_app_again", "test_pretrained", "test_figures_invariance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take a minute and more come first: no worker is to be left with one when the others are done."""
    first = ("test_browser", *LONG)
    items.sort(
        key=lambda item: next((i for i, name in enumerate(first) if item.path.stem.startswith(name)), len(first))
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays with one worker, and all files of the browser with one: beside each other they would only wait."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if "test_browser" in nodeid else super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """A test draws the same numbers alone and in any order. numpy has no global seed here: pass a Generator."""
    random.seed(0)
    if torch := sys.modules.get("torch"):  # not imported for its sake: `make check` stays quick
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_worker_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that a test draws in this process starts no worker beside the test's."""
    monkeypatch.setattr(tasks, "warm_up", lambda place: None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the installed browser, for Playwright's `executable_path`."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium on this machine: install it (Debian: apt-get install chromium)")
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CFCORE_REQUIRE_BROWSER=1 a skipped browser test fails."""
    report = yield
    required = os.environ.get("CFCORE_REQUIRE_BROWSER", "") not in ("", "0")
    if report.skipped and required and item.get_closest_marker("browser") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but CFCORE_REQUIRE_BROWSER asks for a browser: {report.longrepr}"
    return report


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch: that takes a minute and changes no result."""
    monkeypatch.setattr("cfcore.train._compiled", lambda network: network)
