"""This machine: its name, and what its vector ports can do at most."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cfcore.kernels.emit import I64, Emitter, constant
from cfcore.kernels.isa import ISA, Isa, compiled
from cfcore.timings import Machine, core_count, cpu_name


def this_machine() -> Machine:
    """The machine that this process runs on, and the versions that its timings depend on."""
    return Machine(cpu_name(), core_count(), ISA.name, platform.python_version(), version("numba"), version("torch"))


# ---- the bound: the operations of a tile, on registers alone -----------------------------------------------------


def port_bound(seconds: float = 0.1) -> float:
    """Multiply-accumulates of one bit with one bit, in 10^9 a second and for one thread, over so many seconds.

    Each is an exclusive or, a bit count and an addition on a vector, with nothing loaded or stored. A convolution of
    k_w × k_a bits can reach 1 / (k_w·k_a) of it. It is a mean, as what is compared with it: a best of many would be of
    moments in which nothing else ran.
    """
    repeats, runs = 5_000, 0
    spin(1)  # compile
    started = time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        spin(repeats)
        runs += 1
    return runs * repeats * _chains(ISA) * ISA.vector_bits / passed / 1e9


def _chains(isa: Isa) -> int:
    """Independent sums, to hide the latency of each: as many as the registers hold beside a look-up table."""
    return 16 if isa.vector_bits == 512 else 8


@intrinsic
def _spin(typing_context: Any, repeats: Any, seed: Any) -> Any:
    """sums[i] += |sums[i] ^ seed|, `repeats` times; returns one lane, so that nothing can be left out."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Any) -> Any:
        e, element = Emitter(b), 32 if ISA.counts_words else 8
        vector = ir.VectorType(ir.IntType(element), ISA.vector_bits // element)
        word = e.splat(b.trunc(args[1], vector.element), vector.count)
        entry, loop, done = b.block, b.append_basic_block("spin"), b.append_basic_block("done")
        b.branch(loop)
        b.position_at_end(loop)
        n, sums = b.phi(I64), [b.phi(vector) for _ in range(_chains(ISA))]
        n.add_incoming(args[0], entry)
        for i, value in enumerate(sums):
            value.add_incoming(constant(vector, i), entry)  # all different: equal sums would be merged into one
        added = [b.add(value, e.popcount(b.xor(value, word))) for value in sums]
        left = b.sub(n, ir.Constant(I64, 1))
        for phi, value in zip([n, *sums], [left, *added], strict=True):
            phi.add_incoming(value, loop)
        b.cbranch(b.icmp_signed(">", left, ir.Constant(I64, 0)), loop, done)
        b.position_at_end(done)
        total = added[0]
        for value in added[1:]:
            total = b.xor(total, value)
        return b.zext(b.extract_element(total, ir.Constant(ir.IntType(32), 0)), I64)

    return types.int64(types.int64, types.int64), codegen


@compiled
def spin(repeats):  # type: ignore[no-untyped-def]
    """Run the loop of `_spin`."""
    return _spin(repeats, repeats)
