"""Which shipped timing answers, and the programs that bring the page's numbers back: they are run, and compared."""

import contextlib
import io
import shlex
from pathlib import Path

import pytest
import typer.testing
from test_services import bench, ship

from app.services import networks, speed, speed_code, speed_tasks
from cfcore.__main__ import app
from cfcore.config import Configuration
from cfcore.crossover import crossovers
from cfcore.errors import Cancelled, ConfigError
from cfcore.manifest import PRETRAINED
from cfcore.timings import Benchmark, cpu_name

LAYER = "64,8,64,3,1"


def of_machine(cpu: str, layer: str = LAYER, **changes: object) -> dict[str, object]:
    document = bench(layer)
    return {**document, "machine": {**document["machine"], "cpu": cpu}, **changes}  # type: ignore[dict-item]


def test_this_machines_set_comes_first_then_the_one_with_the_hardest_rivals(tmp_path: Path) -> None:
    assert speed.names(tmp_path) == []
    ship(tmp_path, "aaa", [of_machine("another")])
    ship(tmp_path, "intel-amx", [of_machine("Intel")])
    assert speed.names(tmp_path) == ["intel-amx", "aaa"]
    ship(tmp_path, "zzz", [of_machine(cpu_name())])
    assert speed.names(tmp_path) == ["zzz", "intel-amx", "aaa"]


def test_the_set_that_holds_the_row_answers(tmp_path: Path) -> None:
    ship(tmp_path, "aaa", [of_machine("another"), of_machine("another", "1,1,1,1,1")])
    ship(tmp_path, "intel-amx", [of_machine("Intel")])

    def found(layer: str, first: str = "") -> str | None:
        answer = speed.shipped_layer(layer, (1, 1), tmp_path, first)
        return answer[0] if answer else None

    assert found(LAYER) == "intel-amx"
    assert found(LAYER, "aaa") == "aaa"
    assert found("1,1,1,1,1", "intel-amx") == "aaa"
    assert found("2,2,2,2,2") is None
    assert speed.shipped_layer(LAYER, (1, 2), tmp_path) is None
    picked = speed.shipped_layer(LAYER, (1, 1), tmp_path)
    assert picked is not None
    assert picked[1].machine.cpu == "Intel"


def test_networks_are_found_by_batch() -> None:
    for batch in (1, 32):
        found = speed.shipped_network("resnet20", (1, 1), batch, PRETRAINED, "amd-zen4")
        assert found is not None
        assert found[0] == "amd-zen4"
        assert {row.batch for row in found[1].rows} == {batch}
    assert speed.shipped_network("resnet20", (1, 1), 128, PRETRAINED) is None
    assert speed.shipped_network("resnet20", (2, 1), 1, PRETRAINED) is None


def test_the_other_products_of_a_set() -> None:
    found = speed.products("amd-zen4", (1, 1), LAYER, PRETRAINED)
    assert {(p.backend, p.stage) for p in found} == {("packed", "product")}
    assert len(found) == 4 + 5 + 5 - 1  # ResNet-18, VGG-small, ResNet-20, less the one
    assert LAYER not in {p.layer for p in found}


def test_the_best_share_of_the_bound_is_one_that_was_recorded() -> None:
    rows = [row for b in speed.of_set("intel-amx", PRETRAINED) if b.weight_bits == 8 for row in b.rows]
    shares = {row.layer: row.of_port_bound for row in rows if row.of_port_bound}
    best = max(shares, key=lambda layer: shares[layer] or 0.0)
    assert speed.best_share("intel-amx", (8, 8), LAYER, PRETRAINED) == shares[best]
    assert speed.best_share("intel-amx", (8, 8), best, PRETRAINED) == sorted(shares.values())[-2]
    assert speed.best_share("intel-amx", (3, 3), LAYER, PRETRAINED) is None


def test_a_typed_shape_is_one_shape() -> None:
    conv = speed.parse_shape(" 64, 7,32,5 ,2")
    assert (conv.channels, conv.size, conv.filters, conv.kernel, conv.stride) == (64, 7, 32, 5, 2)
    for text in ("", "resnet18", "64,7,32,5", "64,7,32,5,2,1", "64,7,x,5,2"):
        with pytest.raises(ConfigError, match=r"shape = .* is not allowed: use five whole numbers C,H,F,K,S"):
            speed.parse_shape(text)


# ---- what brings the numbers back


def run(program: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(program, "snippet", "exec"), {})
    return out.getvalue()


@pytest.mark.parametrize("name", ["intel-amx", "amd-zen4"])
def test_the_program_prints_the_shipped_numbers(name: str) -> None:
    printed = run(speed_code.shipped_program(name, PRETRAINED, (1, 1)))
    benchmarks = Benchmark.read(PRETRAINED / "bench" / f"{name}.json")
    for crossover in crossovers(benchmarks) + crossovers(benchmarks, "network"):
        assert f"{crossover.layer} {crossover.batch}" in printed
        assert str(crossover.times_faster) in printed
    first = benchmarks[0]
    assert f"{first.rows[0].median_s * 1e6:.1f} µs" in printed
    product = first.find("packed", "product")
    assert product is not None
    assert product.of_port_bound is not None
    assert f"port bound in the same rounds: {product.gmacs / product.of_port_bound:,.0f} GMAC/s" in printed
    assert f"{speed.points(first)[0].intensity:.1f} a byte" in printed


@pytest.mark.parametrize("stage", ["layer", "network"])
def test_the_command_prints_the_shipped_numbers(stage: str) -> None:
    words = shlex.split(speed_code.shipped_command("intel-amx", PRETRAINED, stage))
    assert words[:3] == ["python", "-m", "cfcore"]
    printed = typer.testing.CliRunner().invoke(app, words[3:])
    assert printed.exit_code == 0
    for crossover in crossovers(Benchmark.read(PRETRAINED / "bench" / "intel-amx.json"), stage):
        assert all(f"{times:.2f}" in printed.stdout for times in crossover.times_faster.values())


def test_what_measures_a_layer_runs_as_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from cfcore import bench as timing

    asked: list[object] = []

    def quick(*layer: object, **settings: object) -> Benchmark:
        asked.append((layer, settings))
        return Benchmark.from_dict(bench("3,4,5,2,1"))

    monkeypatch.setattr(timing, "bench_conv", quick)
    printed = run(speed_code.conv_program("3,4,5,2,1", (2, 3), 1))
    assert asked == [(("3,4,5,2,1",), {"threads": 1, "weight_bits": 2, "activation_bits": 3})]
    assert printed.startswith("packed layer 1000000.0 µs, 1 GMAC/s")
    assert "multiply-accumulates a byte" in printed
    words = shlex.split(speed_code.conv_command("3,4,5,2,1", (2, 3), 1))
    assert typer.testing.CliRunner().invoke(app, [*words[3:-8], "--help"]).exit_code == 0
    assert words[3:] == [
        *("bench", "conv", "--layers", "3,4,5,2,1", "--threads", "1"),
        *("--weight-bits", "2", "--activation-bits", "3"),
    ]


def test_what_measures_a_network_runs_as_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    from cfcore import bench as timing

    asked: list[object] = []

    def quick(configuration: Configuration, **settings: object) -> Benchmark:
        asked.append((configuration, settings))
        return Benchmark.from_dict(bench("resnet20"))

    monkeypatch.setattr(timing, "bench_network", quick)
    configuration = Configuration(group_size="layer", weight_bits=2)
    run(speed_code.network_program(configuration, 8, 2))
    assert asked == [(configuration, {"batch": 8, "threads": 2})]
    command = speed_code.network_command(configuration, 8, 2)
    assert command.startswith("python -m cfcore bench network --model resnet20 --method xnor --weight-bits 2")
    assert command.endswith("--group-size layer --source trained --batch 8 --threads 2")


# ---- the tasks, as the worker runs them


def test_a_network_is_timed_with_progress_and_can_be_stopped() -> None:
    seen: list[tuple[float, str]] = []

    def report(share: float, step: str, value: object = None) -> None:
        seen.append((share, step))
        if len(seen) == 3:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        speed_tasks.NetworkTiming(Configuration(), PRETRAINED, 2).run(report)
    assert seen[0] == (0.0, "loading the network, compiling and checking the kernels")
    assert seen[1:] == [(0.0, "round 1 of 30"), (pytest.approx(1 / 30), "round 2 of 30")]


def test_a_network_and_a_layer_are_of_one_kind() -> None:
    network = speed_tasks.NetworkTiming(Configuration(), PRETRAINED)
    assert network.kind == speed_tasks.Timing(LAYER, 1, 1).kind  # so that a session waits for one of them
    assert network != speed_tasks.NetworkTiming(Configuration(), PRETRAINED, 2)


def test_the_layers_of_a_network_are_added_up_one_by_one() -> None:
    (name, *_), folder = speed.names(networks.folder()), networks.folder()
    networks_of = {(row.layer, row.batch): crossover for row, crossover in speed.whole_networks(name, folder)}
    added_up = 0.0
    for conv in networks.layers(Configuration()).values():
        found = speed.shipped_layer(speed.layer_name(conv), (1, 1), folder, name)
        assert found is not None
        row = found[1].find("packed", "layer")
        assert row is not None
        added_up += row.median_s
    assert speed.one_by_one(networks_of["resnet20", 1], name, folder) == pytest.approx(added_up)
    assert speed.one_by_one(networks_of["resnet20", 32], name, folder) is None  # layers are timed with one image
