"""What vectors the compiler's target has: asked of LLVM, never guessed from a name. And how numba is called."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, njit
from numba.core.registry import cpu_target

from cfcore.bitpack import WORD_BITS
from cfcore.errors import bad_value
from cfcore.kernels.cache import KernelCache, name_by_closure
from cfcore.kernels.emit import Emitter

if config.DISABLE_JIT:  # the kernels are vector code, which Python cannot run
    raise bad_value("NUMBA_DISABLE_JIT", 1, "0", "Unset it.")


@dataclass(frozen=True)
class Isa:
    """What the compiler's target offers.

    vector_bits    512, 256 or 128
    counts_words   a vector instruction counts the bits of each word (AVX-512 VPOPCNTDQ)
    """

    vector_bits: int
    counts_words: bool

    @property
    def lanes(self) -> int:
        """Filters in a vector."""
        return self.vector_bits // WORD_BITS

    @property
    def unit(self) -> int:
        """The fewest filters that fill vectors and also bytes of packed bits: rows are rounded up to it."""
        return max(8, self.lanes)

    @property
    def heights(self) -> dict[int, int]:
        """Pixels of the tile of so many vectors of filters: as many sums as leave registers for the operands.

        There are 32 registers where they are 512 bits wide, else perhaps only 16.
        """
        return {1: 8, 2: 8, 4: 5} if self.vector_bits == 512 else {1: 4, 2: 4}

    @property
    def float_heights(self) -> dict[int, int]:
        """The same for float sums: no more than hide the latency of a multiply-add, as more is only more to compile."""
        return {1: 8, 2: 4, 4: 2} if self.vector_bits == 512 else {1: 4, 2: 4}

    @property
    def vectors(self) -> int:
        """Vectors of filters in the widest tile."""
        return max(self.heights)

    @property
    def name(self) -> str:
        return f"{self.vector_bits}-bit vectors, " + ("population count" if self.counts_words else "byte look-up")


def detect_isa() -> Isa:
    """Ask LLVM: compile two counts for the very target that numba compiles for, and read which registers they use.

    A CPU's name says little: numba keeps the host's features when NUMBA_CPU_NAME alone is set. The widest vectors in
    which words, else bytes, are counted by an instruction are the ones to use.
    """
    words, by_bytes = _assembly(ir.IntType(32)), _assembly(ir.IntType(8))
    for bits, register in ((512, "zmm"), (256, "ymm")):
        if re.search(rf"vpopcntd\s.*%{register}", words):
            return Isa(bits, True)
    for bits, register in ((512, "zmm"), (256, "ymm")):
        if re.search(rf"(vpshufb|vpopcntb)\s.*%{register}", by_bytes):
            return Isa(bits, False)
    return Isa(128, False)


def _assembly(element: ir.IntType) -> str:
    """What LLVM makes of the bit count of a 512-bit vector of such elements."""
    vector = ir.VectorType(element, 512 // element.width)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [vector.as_pointer()]), "probe")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.store(Emitter(builder).popcount(builder.load(function.args[0])), function.args[0])
    builder.ret_void()
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=2)
    return str(machine.emit_assembly(llvm.parse_assembly(str(module))))


def compiled(function: Any) -> Any:
    """Compile with numba: no Python objects, no GIL, and kept on disk where a folder for it can be written."""
    name_by_closure(function)
    dispatcher = njit(nogil=True)(function)
    with suppress(RuntimeError):  # no place for a cache: a read-only installation and no home: compiled in each process
        dispatcher._cache = KernelCache(function)
    return dispatcher


ISA = detect_isa()
