"""The `bench` commands: time this machine, record timings, and say from them where packed pays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cfcore.config import MODELS, Configuration
from cfcore.console import Json, end_progress, print_json, print_table, show_rounds
from cfcore.crossover import Crossover, crossovers
from cfcore.errors import bad_value
from cfcore.files import whole
from cfcore.manifest import PRETRAINED
from cfcore.options import configured
from cfcore.shapes import IMAGENET
from cfcore.timings import Benchmark, read_sets, remarks

SHIPPED = PRETRAINED / "bench"
LEGEND = """p10-p90: a tenth of samples is shorter, a tenth longer, in us; GMAC/s: 10^9 multiply-accumulates a second;
x fp32: times faster than torch-fp32. correct: packed layers agree exactly with a float64 convolution, which is exact
here; torch's within the rounding of its type; a packed network with the simulated one."""
STAGES = ("layer", "product", "network")
Threads = Annotated[int, typer.Option(help="Threads of every backend.")]


def bench_conv(
    layers: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(IMAGENET)} (ImageNet), {', '.join(MODELS)}; or C,H,F,K,S, square, padding K//2."
        ),
    ] = "resnet18",
    threads: Threads = 1,
    weight_bits: Annotated[int, typer.Option(help="Bits of a weight, 1 to 8.")] = 1,
    activation_bits: Annotated[int, typer.Option(help="Bits of an activation, 1 to 8.")] = 1,
    json_: Json = False,
) -> None:
    """Time convolutions: bitwise against torch's fp32, bf16 and int8, each result first compared with the reference.

    Example: python -m cfcore bench conv --layers 256,14,256,3,1 --threads 1
    """
    from cfcore import bench as timing

    _print_timings(timing.bench_conv(layers, threads, weight_bits, activation_bits, progress=show_rounds), json_)


@configured
def bench_network(
    configuration: Configuration,
    batch: Annotated[int, typer.Option(help="Images in a call.")] = 1,
    threads: Threads = 1,
    json_: Json = False,
) -> None:
    """Time a whole network: packed against the float network in torch's fp32 and bf16, from images to logits.

    Example: python -m cfcore bench network --model resnet20 --batch 32
    """
    from cfcore import bench as timing

    _print_timings(timing.bench_network(configuration, batch, threads, progress=show_rounds), json_)


def bench_record(
    file: Annotated[Path, typer.Argument(help="Where the list of documents goes.")],
    threads: Threads = 1,
) -> None:
    """Time what comes with the project: layers of three networks at several bits, and three whole networks.

    Takes some minutes; run nothing else meanwhile. `bench table` and the explorer read every file in pretrained/bench,
    and call the set by the file's name.

    Example: python -m cfcore bench record pretrained/bench/my-machine.json
    """
    from cfcore import bench as timing

    if not file.name or not file.parent.is_dir() or (file.exists() and not file.is_file()):
        allowed = "the name of a file, in a folder that is there"
        raise bad_value("file", str(file), allowed, "Choose pretrained/bench/my-machine.json.")
    with whole(file) as partial:
        partial.touch()  # a place that cannot be written is found out before anything is timed
        documents = [
            timing.bench_conv(layers, threads, *bits, progress=show_rounds).to_dict()
            for layers in ("resnet18", "vgg_small", "resnet20")
            for bits in ((1, 1), (1, 2), (2, 2), (4, 4), (8, 8))
        ]
        documents += [
            timing.bench_network(Configuration(model=model), batch, threads, progress=show_rounds).to_dict()
            for model in ("resnet20", "vgg_small_half", "vgg_small")
            for batch in (1, 32)
        ]
        end_progress()
        partial.write_text(json.dumps(documents, indent=1) + "\n", encoding="utf-8")
    print(f"{file}: {len(documents)} documents")


def bench_table(
    file: Annotated[
        Path | None, typer.Argument(help="Documents of `bench conv --json`, one or a list. Left out: all that ship.")
    ] = None,
    stage: Annotated[
        str, typer.Option(help="layer, from float to float; product, each in its own type; or network, a whole one.")
    ] = "layer",
    json_: Json = False,
) -> None:
    """Where packed pays and where it does not: timings already taken, by layer and bits, against every backend; a table
    for each machine.

    Example: python -m cfcore bench table
    """
    if stage not in STAGES:
        raise bad_value("stage", stage, ", ".join(STAGES), "Choose layer.")
    sets = {file.stem: Benchmark.read(file)} if file else read_sets(SHIPPED)
    found = [(name, crossovers(benchmarks, stage)) for name, benchmarks in sets.items()]
    if json_:
        return print_json([{"set": name, **crossover.to_dict()} for name, rows in found for crossover in rows])
    print("The median of a packed call, and how many times faster it is than each backend: below 1 it loses.")
    for name, rows in found:
        if not rows:
            print(f"\n{name}: no timing of stage {stage}")
        for place in dict.fromkeys((c.machine, c.threads) for c in rows):
            _print_crossovers(name, [c for c in rows if (c.machine, c.threads) == place])
        for remark in remarks(sets[name], stage):
            print(remark)


def _print_crossovers(name: str, found: list[Crossover]) -> None:
    """The table of one machine at some number of threads, under its heading."""
    machine, threads = found[0].machine, found[0].threads
    place = f"{machine.cpu}, {machine.vectors}, torch {machine.torch}"
    print(f"\n{name}: measured on {place}; {_threads(threads)}\n")
    backends = list(dict.fromkeys(backend for crossover in found for backend in crossover.times_faster))
    rows = [
        (
            c.layer if c.stage != "network" else f"{c.layer}, batch {c.batch}",
            f"{c.weight_bits} x {c.activation_bits}",
            f"{c.packed_s * 1e6:,.1f} us",
            *(f"{c.times_faster[b]:.2f}" if b in c.times_faster else "-" for b in backends),
            "yes" if c.pays else "no",
        )
        for c in found
    ]
    print_table(("network" if found[0].stage == "network" else "layer", "bits", "packed", *backends, "pays"), rows)


def _print_timings(result: Benchmark, json_: bool) -> None:
    end_progress()
    if json_:
        return print_json(result.to_dict())
    machine, bits = result.machine, f"{result.weight_bits} x {result.activation_bits} bits (weights x activations)"
    print(f"{machine.cpu}, {machine.cores} cores, {machine.vectors}; torch {machine.torch}, numba {machine.numba}")
    print(
        f"packed at {bits}; {_threads(result.threads)}, {result.rows[0].runs} runs; "
        f"JIT {result.jit_s:.1f} s, not in the timings"
    )
    print(f"port bound {result.bound:,.0f} GMAC/s at these bits and threads")
    rows = [
        (
            row.layer,
            f"{row.batch}",
            row.backend,
            row.stage,
            f"{row.median_s * 1e6:,.0f} us",
            f"{row.p10_s * 1e6:,.0f}-{row.p90_s * 1e6:,.0f}",
            f"{row.gmacs:,.0f}",
            f"{row.speedup_vs_fp32:.2f}" + "?" * result.disturbed,
            "-" if row.of_port_bound is None else f"{row.of_port_bound:.0%}",
            "yes" if row.matches_reference else "NO",
        )
        for row in result.rows
    ]
    head = ("layer", "batch", "backend", "stage", "median", "p10-p90", "GMAC/s", "x fp32", "of bound", "correct")
    print_table(head, rows)
    print(LEGEND)
    for remark in result.notes:
        print(remark)


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"
