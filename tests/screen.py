"""Pages run without a browser: how they are opened, read and pressed, and a worker that a test speaks for."""

import functools
import shutil
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from app.services import jobs, networks
from app.services.jobs import Status

# for other people's components in all installed packages: each page would take half its time for it
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)

ROOT = Path(__file__).parents[1]
TIMEOUT = 60
CHOSEN = ":material/radio_button_checked:"


class Bench:
    """A worker that does nothing by itself: a test says how each task stands. What is cancelled may run on for others,
    or until it heeds.
    """

    def __init__(self) -> None:
        self.stands: dict[str, Status] = {}
        self.asked: list[jobs.Task] = []

    def look(self, task: jobs.Task, session: str) -> Status | None:
        return self.stands.get(task.kind) if task in self.asked else None

    def request(self, task: jobs.Task, session: str, again: bool = False) -> Status:
        if task not in self.asked or again:
            self.asked.append(task)
        return self.stands.setdefault(task.kind, Status("queued"))

    def cancel(self, task: jobs.Task, session: str) -> None:
        pass


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


def document(packed: float, int8: float) -> dict[str, object]:
    """Timings of the layer that opens: how many times as fast as fp32 each is."""
    rows = [
        {
            "layer": "64,8,64,3,1",
            "batch": 1,
            "backend": backend,
            "stage": "layer",
            "threads": 1,
            "median_s": 40e-6 / times,
            "p10_s": 39e-6 / times,
            "p90_s": 42e-6 / times,
            "runs": 30,
            "gmacs": 1.0,
            "speedup_vs_fp32": times,
            "of_port_bound": None,
            "matches_reference": True,
        }
        for backend, times in (("packed", packed), ("torch-fp32", 1.0), ("torch-int8", int8))
    ]
    machine = {"cpu": "A CPU", "cores": 2, "vectors": "512-bit", "python": "3", "numba": "0", "torch": "2"}
    conditions = {"weight_bits": 1, "activation_bits": 1, "threads": 1, "port_bound": 1.0, "jit_s": 0.0}
    return {"machine": machine, **conditions, "rows": rows, "notes": ["A note."]}
