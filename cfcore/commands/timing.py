"""`bench conv` and `bench network`: timings of this machine, as a table or a document."""

from __future__ import annotations

from typing import Annotated

import typer

from cfcore.config import Configuration
from cfcore.console import Json, end_progress, print_json, print_table, show_rounds
from cfcore.options import configured
from cfcore.timings import Benchmark

Threads = Annotated[int, typer.Option(help="Threads of every backend.")]


def bench_conv(
    layers: Annotated[str, typer.Option(help="resnet18, resnet20, vgg_small or C,H,F,K,S.")] = "resnet18",
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


def _print_timings(result: Benchmark, json_: bool) -> None:
    end_progress()
    if json_:
        return print_json(result.to_dict())
    machine = result.machine
    print(
        f"{machine.cpu}, {machine.cores} cores, {machine.vectors}; {result.threads} threads, {result.rows[0].runs} runs"
    )
    print(f"port bound {result.port_bound:,.0f} GMAC/s a thread; JIT {result.jit_s:.1f} s, not in the timings")
    rows = [
        (
            row.layer,
            f"{row.batch}",
            row.backend,
            row.stage,
            f"{row.median_s * 1e6:,.0f} us",
            f"{row.p10_s * 1e6:,.0f}-{row.p90_s * 1e6:,.0f}",
            f"{row.gmacs:,.0f}",
            f"{row.speedup_vs_fp32:.2f}",
            "yes" if row.matches_reference else "NO",
        )
        for row in result.rows
    ]
    print_table(("layer", "batch", "backend", "stage", "median", "p10-p90", "GMAC/s", "x fp32", "correct"), rows)
    for remark in result.notes:
        print(remark)
