"""Pages run without a browser: how they are opened, read and pressed, and a worker that a test speaks for."""

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.services import jobs, networks
from app.services.jobs import Status

ROOT = Path(__file__).parents[1]
TIMEOUT = 60
CHOSEN = ":material/radio_button_checked:"


class Bench:
    """A worker that does nothing by itself: a test says how each task stands."""

    def __init__(self) -> None:
        self.stands: dict[str, Status] = {}
        self.asked: list[jobs.Task] = []

    def look(self, task: jobs.Task, session: str) -> Status | None:
        return self.stands.get(task.kind) if task in self.asked else None

    def request(self, task: jobs.Task, session: str, again: bool = False) -> Status:
        self.asked.append(task)
        return self.stands.setdefault(task.kind, Status("queued"))

    def cancel(self, task: jobs.Task, session: str) -> None:
        self.stands[task.kind] = Status("cancelled")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """In place of the worker."""
    made = Bench()
    monkeypatch.setattr(jobs, "worker", lambda: made)
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped networks, to be damaged; without latent weights and timings."""
    for file in networks.folder().iterdir():
        if file.suffix in (".json", ".safetensors"):
            shutil.copy(file, tmp_path)
    monkeypatch.setenv("CFCORE_PRETRAINED", str(tmp_path))
    (tmp_path / "bench").mkdir()
    return tmp_path


def page(view: str, timeout: int = TIMEOUT, **address: str) -> AppTest:
    """A page as an address opens it."""
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=timeout)
    for name, value in address.items():
        app.query_params[name] = value
    if view != "explorer":
        app.switch_page(f"app/views/{view}.py")
    app.run()
    assert not app.exception
    return app


def numbers(app: AppTest) -> dict[str, str]:
    """Value of each headline."""
    return {metric.label: metric.value for metric in app.metric}


def headlines(app: AppTest) -> dict[str, tuple[str, str]]:
    """Value of each headline, and what stands under it."""
    return {metric.label: (metric.value, metric.delta) for metric in app.metric}


def text(app: AppTest) -> str:
    return "\n".join(block.value for block in [*app.caption, *app.markdown])


def press(app: AppTest, label: str) -> None:
    (button,) = [button for button in app.button if button.label == label]
    button.click().run()
    assert not app.exception


def chosen(app: AppTest) -> list[str]:
    """Keys of the buttons that are marked as chosen."""
    return [button.key for button in app.button if button.proto.icon == CHOSEN]
