"""What vectors the compiler's target has (asked of LLVM, never guessed from a name), and how to write code for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit
from numba.core import cgutils
from numba.core.registry import cpu_target

from cfcore.bitpack import WORD_BITS


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
    def vectors(self) -> int:
        """Vectors of filters in a full tile: 32 registers where they are 512 bits wide, else perhaps only 16."""
        return 4 if self.vector_bits == 512 else 2

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
    builder.store(popcount(builder, builder.load(function.args[0])), function.args[0])
    builder.ret_void()
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=2)
    return str(machine.emit_assembly(llvm.parse_assembly(str(module))))


# ---- writing vector code ---------------------------------------------------------------------------------------


def vector_function(b: ir.IRBuilder, name: str, result: Any, arguments: list[Any]) -> Any:
    """An intrinsic function of LLVM."""
    return cgutils.get_or_insert_function(b.module, ir.FunctionType(result, arguments), name)


def popcount(b: ir.IRBuilder, value: Any) -> Any:
    """The number of ones in each element of a vector value."""
    vector = value.type
    name = f"llvm.ctpop.v{vector.count}i{vector.element.width}"
    return b.call(vector_function(b, name, vector, [vector]), [value])


def constant(vector: ir.VectorType, value: float) -> ir.Constant:
    """The same number in every lane."""
    return ir.Constant(vector, [value] * vector.count)


def splat(b: ir.IRBuilder, value: Any, lanes: int) -> Any:
    """A computed number, copied to every lane."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = b.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return b.shuffle_vector(first, undefined, constant(ir.VectorType(ir.IntType(32), lanes), 0))


def compiled(function: Any) -> Any:
    """Compile with numba: no Python objects, no GIL, and kept on disk where a folder for it can be written.

    The copy on disk is renewed when the file of the function changes, and only that one: code that a function inlines
    from another file had better not change alone. Loops and the intrinsics that they call share a file for this reason.
    """
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no place for a cache: a read-only installation and no home: compile anew in each process
        return njit(nogil=True)(function)


ISA = detect_isa()
