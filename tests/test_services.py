"""The door to cfcore: what is shipped, what is computed, and the tasks that take seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from app.services import jobs, kept, networks, snippets, speed, tasks
from app.services.tasks import warm_up  # before conftest puts another in its place
from cfcore import checkpoint, manifest
from cfcore.config import Configuration
from cfcore.errors import Cancelled, CheckpointError
from cfcore.export import pack_network
from cfcore.images import Images
from cfcore.models import Network

NARROW = 0.25  # 4, 8 and 16 filters: quick
FLOAT = Configuration.of(method="float", width=NARROW)


def narrow(**settings: object) -> Configuration:
    return Configuration.of(width=NARROW, **settings)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Untrained networks as if they were shipped, with made-up accuracies."""
    shipped = {FLOAT: 90.0, narrow(group_size=1): 80.0, narrow(group_size=4): 79.0, narrow(group_size="layer"): 78.0}
    shipped[narrow(group_size=4, order="sorted")] = 79.5
    for configuration, accuracy in shipped.items():
        file = tmp_path / f"{configuration.name}.safetensors"
        size = checkpoint.save(pack_network(Network(configuration)), file)
        manifest.record(
            manifest.Entry(
                configuration,
                accuracy,
                seeds={"0": accuracy},
                plan="own",
                epochs=1,
                seconds=None,
                machine=None,
                bytes=size,
                file=file.name,
                sha256=manifest.sha256(file),
                command="cfcore",
            ),
            tmp_path,
        )
    monkeypatch.setenv("CFCORE_PRETRAINED", str(tmp_path))
    return tmp_path


# ---- networks


def test_the_server_loads_neither_torch_nor_the_kernels() -> None:
    """They take seconds and hundreds of megabytes: only the worker has them."""
    code = (
        "import sys, streamlit\n"
        "from app import state\n"
        "import importlib, pkgutil\n"
        "import app.services, app.views\n"
        "from cfcore.config import Configuration\n"
        "for room in (app.services, app.views):\n"
        "    for module in pkgutil.iter_modules(room.__path__, room.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "app.services.networks.network_cost(Configuration())\n"
        "print([name for name in ('torch', 'numba') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"


def test_a_network_is_found_only_by_its_very_configuration(folder: Path) -> None:
    entry = networks.trained(narrow(group_size=4))
    assert entry is not None
    assert entry.accuracy == 79.0
    assert networks.trained(narrow(group_size=2)) is None
    assert networks.trained(narrow(group_size=4, source="post-training")) is None


def test_a_new_manifest_is_read_again(folder: Path) -> None:
    assert len(networks.shipped()) == 5
    rows = json.loads((folder / "manifest.json").read_text())["networks"]
    (folder / "manifest.json").write_text(json.dumps({"networks": rows[:2]}))
    os.utime(folder / "manifest.json", ns=(1, 1))
    assert len(networks.shipped()) == 2


def test_without_a_manifest_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_PRETRAINED", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"no manifest\.json in [\w-]+/\. Restore"):
        networks.shipped()


def test_a_changed_file_is_refused(folder: Path) -> None:
    entry = networks.trained(narrow(group_size=1))
    assert entry is not None
    (folder / entry.file).write_bytes(b"not what was shipped")
    with pytest.raises(CheckpointError, match="its sha256 differs"):
        networks.stored(entry)


def test_siblings_are_float_then_m_1_then_the_others_of_this_order(folder: Path) -> None:
    labels = [(s.label, s.accuracy, s.chosen) for s in networks.siblings(narrow(group_size=4))]
    assert labels == [
        ("float", 90.0, False),
        ("m = 1", 80.0, False),
        ("m = 4", 79.0, True),
        ("layer-wise", 78.0, False),
    ]
    labels = [(s.label, s.accuracy, s.chosen) for s in networks.siblings(narrow(group_size=4, order="sorted"))]
    assert labels == [  # layer-wise has one group, so it is of either order
        ("float", 90.0, False),
        ("m = 1", 80.0, False),
        ("m = 4", 79.0, False),
        ("m = 4, sorted", 79.5, True),
        ("layer-wise", 78.0, False),
    ]
    assert [s.label for s in networks.siblings(FLOAT)] == ["float"]
    post = narrow(group_size=4, source="post-training")  # those that are trained, none of which it is
    assert [(s.label, s.chosen) for s in networks.siblings(post)] == [
        ("float", False), ("m = 1", False), ("m = 4", False), ("layer-wise", False),
    ]  # fmt: skip
    assert networks.place(post, 50.0, chosen=True).label.endswith("m = 4, post-training")
    assert [s.label for s in networks.siblings(narrow(weight_bits=3))] == ["float"]


def test_sharing_counts_bits_as_the_formula_says() -> None:
    configuration = Configuration(group_size=16)
    conv = networks.layers(configuration)["convs.1"]
    shared = networks.sharing(configuration, conv)
    assert (shared.n, shared.together) == (16 * 9, 16)
    assert shared.ideal_bits == pytest.approx(1 + 32 / (16 * 144))
    assert shared.filter_wise_bits == pytest.approx(1 + 32 / 144)
    assert shared.stored_bits == pytest.approx(8 * (16 * 144 // 8 + 4) / (16 * 144))


def test_a_layer_narrower_than_the_group_shares_as_a_whole() -> None:
    configuration = Configuration(group_size=64)
    shared = networks.sharing(configuration, networks.layers(configuration)["convs.1"])
    assert shared.together == 16


def test_a_float_layer_takes_32_bits() -> None:
    shared = networks.sharing(FLOAT, networks.layers(FLOAT)["convs.1"])
    assert (shared.ideal_bits, shared.filter_wise_bits, shared.stored_bits) == (32, 32, 32)


def test_the_command_names_what_the_configuration_sets() -> None:
    assert snippets.command("evaluate", Configuration(group_size=16)) == (
        "python -m cfcore evaluate --model resnet20 --method xnor --weight-bits 1 --activation-bits 1 "
        "--group-size 16 --source trained"
    )
    assert snippets.command("evaluate", Configuration.of(method="float")) == (
        "python -m cfcore evaluate --model resnet20 --method float"
    )
    other = Configuration.of(method="binary-weight", group_size=8, order="sorted", source="post-training")
    assert snippets.command("cost", other).endswith(
        "--weight-bits 1 --group-size 8 --order sorted --source post-training"
    )


# ---- shipped timings


def bench(layer: str, weight_bits: int = 1) -> dict[str, object]:
    timing = {"layer": layer, "batch": 1, "backend": "packed", "stage": "layer", "threads": 1, "runs": 3, "gmacs": 1.0}
    timing |= {
        "median_s": 1.0,
        "p10_s": 1.0,
        "p90_s": 1.0,
        "speedup_vs_fp32": 2.0,
        "matches_reference": True,
        "of_port_bound": None,
    }
    machine = {"cpu": "A CPU", "cores": 2, "vectors": "512-bit", "python": "3", "numba": "0", "torch": "2"}
    conditions = {"weight_bits": weight_bits, "activation_bits": 1, "threads": 1, "port_bound": 1.0, "jit_s": 0.0}
    return {"machine": machine, **conditions, "rows": [timing], "notes": []}


def test_the_server_keeps_the_worker_ready_and_up_to_date(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is what makes a running explorer forget networks that were replaced."""
    worker = mock.Mock(spec=jobs.Worker)
    worker.look.return_value = None
    monkeypatch.setattr(jobs, "worker", lambda: worker)
    warm_up(folder)
    worker.request.assert_called_once_with(tasks.Readiness(folder), "server", lasting=True)
    worker.look.return_value = jobs.Status("done")
    os.utime(folder / "manifest.json", ns=(1, 1))
    warm_up(folder)
    assert worker.renew.call_args_list[-1] == mock.call(folder, 1)
    assert worker.renew.call_args_list[0] != worker.renew.call_args_list[-1]
    worker.request.assert_called_once()


def ship(folder: Path, name: str, content: object) -> None:
    """A set of timings in a folder of networks."""
    (folder / "bench").mkdir(exist_ok=True)
    (folder / "bench" / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_shipped_timings_are_found_by_shape_and_bits(tmp_path: Path) -> None:
    conv = networks.layers(Configuration())["convs.18"]
    assert speed.layer_name(conv) == "64,8,64,3,1"
    assert speed.shipped_layer(speed.layer_name(conv), (1, 1), tmp_path) is None
    ship(tmp_path, "one", [bench("1,1,1,1,1"), bench("64,8,64,3,1")])
    found = speed.shipped_layer(speed.layer_name(conv), (1, 1), tmp_path)
    assert found is not None
    assert found[1].rows[0].speedup_vs_fp32 == 2.0
    assert speed.shipped_layer(speed.layer_name(conv), (2, 1), tmp_path) is None


def test_one_document_is_as_good_as_a_list(tmp_path: Path) -> None:
    conv = networks.layers(Configuration())["convs.18"]
    ship(tmp_path, "one", bench("64,8,64,3,1", weight_bits=3))
    assert speed.shipped_layer(speed.layer_name(conv), (3, 1), tmp_path) is not None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", '{"rows": 3}', '[{"weight_bits": 1, "activation_bits": 1}]', [bench("1,1,1,1,1", weight_bits=9)]],
)
def test_damaged_timings_are_one_sentence(tmp_path: Path, content: object) -> None:
    ship(tmp_path, "one", content)
    conv = networks.layers(Configuration())["convs.18"]
    with pytest.raises(CheckpointError, match=r"^one\.json is no file of timings, or damaged .* or restore it\.$"):
        speed.shipped_layer(speed.layer_name(conv), (1, 1), tmp_path)


# ---- the tasks


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> Images:
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (50, 32, 32, 3), np.uint8), rng.integers(0, 10, 50))
    monkeypatch.setattr(tasks, "test_set", lambda folder: images)
    monkeypatch.setattr(kept, "PART", 20)
    for name in ("NETWORKS", "ANSWERS"):
        monkeypatch.setattr(kept, name, kept.Kept(9))
    sheet = rng.integers(0, 256, (100, 32, 32, 3), np.uint8)
    monkeypatch.setattr("cfcore.evaluate.load_calibration_set", lambda folder: sheet)
    return images


@pytest.mark.parametrize("settings", [{"weight_bits": 2}, {"method": "binary-weight"}, {"activation_bits": 8}])
def test_post_training_counts_first_some_then_all(
    folder: Path, few_images: Images, settings: dict[str, object]
) -> None:
    from cfcore.evaluate import evaluate

    configuration = narrow(source="post-training", group_size=4, **settings)
    reports: list[tuple[float, str, tasks.Counted | None]] = []

    def report(share: float, step: str, value: tasks.Counted | None = None) -> None:
        reports.append((share, step, value))

    counted = tasks.PostTraining(configuration, folder).run(report)
    assert counted.images == 50
    assert counted.checkpoint.configuration == configuration
    assert counted.correct == evaluate(counted.checkpoint, few_images, counted.engine).correct
    (first,) = [value for _, _, value in reports if value is not None]
    assert first.images == 20
    assert first.correct == evaluate(counted.checkpoint, few_images.first(20), counted.engine).correct
    assert all(0 <= share <= 1 for share, _, _ in reports)
    steps = list(dict.fromkeys(step for _, step, _ in reports))
    assert [step.split()[0] for step in steps] == ["loading", "quantizing,", "counting", "counting"]


def test_post_training_that_made_way_goes_on(folder: Path, few_images: Images) -> None:
    configuration = narrow(source="post-training", group_size=4, weight_bits=2)
    task, told = tasks.PostTraining(configuration, folder), list[str]()

    def stop(share: float, step: str, value: object = None) -> None:
        if "all" in step and share > 0.5:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        task.run(stop)
    counted = task.run(lambda share, step, value=None: told.append(step))
    assert not [step for step in told if "quantizing" in step]
    assert told.count("counting on the first 20 test images") == 0
    kept.ANSWERS.values.clear()
    assert task.run(lambda *told: None).correct == counted.correct


def test_bits_are_counted_only_where_that_is_faster(folder: Path, few_images: Images) -> None:
    def engine(**settings: object) -> str:
        task = tasks.PostTraining(narrow(source="post-training", **settings), folder)
        return str(task.run(lambda *told: None).engine)

    assert engine() == "packed"
    assert engine(weight_bits=8, activation_bits=8) == "simulated"
    assert engine(method="binary-weight") == "simulated"


def test_post_training_stops_when_it_is_told(folder: Path, few_images: Images) -> None:
    def report(share: float, step: str, value: object = None) -> None:
        if step.startswith("counting"):
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        tasks.PostTraining(narrow(source="post-training"), folder).run(report)


def test_a_reference_is_the_same_job() -> None:
    """So that m = 1, shown for comparison and then chosen, is not counted twice."""
    configuration, place = narrow(source="post-training", group_size=1), Path("somewhere")
    assert tasks.PostTraining(configuration, place, "reference") == tasks.PostTraining(configuration, place)


@pytest.mark.parametrize("group_size", [1, 16, 32, "layer"])
def test_a_configuration_as_python_is_that_configuration(group_size: int | str) -> None:
    some = [Configuration(model="vgg_small_half", weight_bits=bits, activation_bits=9 - bits) for bits in (1, 8)]
    some += [Configuration.of(method=method) for method in ("float", "binary-weight", "xnor")]
    some += [Configuration(order="sorted", source="post-training")]
    for one in some:
        configuration = one if one.method == "float" else one.with_group_size(group_size)  # type: ignore[arg-type]
        assert eval(snippets.spelled(configuration), {"Configuration": Configuration}) == configuration
