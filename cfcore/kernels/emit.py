"""Writing vector code: the few patterns of LLVM that the kernels are built from, as methods of one small class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

I1, I8, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
F32 = ir.FloatType()


def const(value: int) -> ir.Constant:
    """An int64."""
    return ir.Constant(I64, value)


def constant(vector: ir.VectorType, value: float) -> ir.Constant:
    """The same number in every lane."""
    return ir.Constant(vector, [value] * vector.count)


class Emitter:
    """An LLVM builder `b`, and what the kernels ask of it. Addresses are int64."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.b = builder

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """An intrinsic function of LLVM."""
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        function = self.b.module.globals.get(name) or ir.Function(self.b.module, signature, name)
        return self.b.call(function, arguments)

    def popcount(self, value: Any) -> Any:
        """The number of ones in each element."""
        return self.call(f"llvm.ctpop.{_suffix(value.type)}", value.type, value)

    def splat(self, value: Any, lanes: int) -> Any:
        """A computed number, copied to every lane."""
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = self.b.insert_element(undefined, value, ir.Constant(I32, 0))
        return self.b.shuffle_vector(first, undefined, constant(ir.VectorType(I32, lanes), 0))

    # ---- memory ------------------------------------------------------------------------------------------------

    def at(self, base: Any, offset: Any) -> Any:
        """The address `offset` bytes behind a base."""
        return self.b.add(base, const(offset) if isinstance(offset, int) else offset)

    def load(self, kind: Any, base: Any, offset: Any = 0) -> Any:
        """Only the alignment of an element is promised; on an aligned address the unaligned load costs nothing."""
        return self.b.load(self._pointer(kind, base, offset), align=_alignment(kind))

    def store(self, value: Any, base: Any, offset: Any = 0) -> None:
        """The counterpart of `load`."""
        self.b.store(value, self._pointer(value.type, base, offset), align=_alignment(value.type))

    def load_where(self, lanes: Any, kind: Any, base: Any, offset: Any = 0) -> Any:
        """Only the lanes whose bit is set are read; the others hold 0."""
        pointer, align = self._pointer(kind, base, offset), ir.Constant(I32, _alignment(kind))
        return self.call(f"llvm.masked.load.{_suffix(kind)}.p0", kind, pointer, align, lanes, constant(kind, 0))

    def store_where(self, lanes: Any, value: Any, base: Any, offset: Any = 0) -> None:
        """Only the lanes whose bit is set are written."""
        pointer, align = self._pointer(value.type, base, offset), ir.Constant(I32, _alignment(value.type))
        self.call(f"llvm.masked.store.{_suffix(value.type)}.p0", ir.VoidType(), value, pointer, align, lanes)

    def prefetch_to_write(self, base: Any, offset: Any = 0) -> None:
        """Fetch a cache line that will be written; any address will do, and nothing waits for it."""
        hints = [ir.Constant(I32, number) for number in (1, 3, 1)]  # to write, into the nearest cache, data
        self.call("llvm.prefetch.p0", ir.VoidType(), self._pointer(I8, base, offset), *hints)

    def _pointer(self, kind: Any, base: Any, offset: Any) -> Any:
        return self.b.inttoptr(self.at(base, offset), kind.as_pointer())

    # ---- flow --------------------------------------------------------------------------------------------------

    def loop(self, count: Any, values: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """values = body(i, values) for i = 0 … count - 1, at least once; the values stay in registers."""
        b = self.b
        entry, block, after = b.block, b.append_basic_block("loop"), b.append_basic_block("after")
        b.branch(block)
        b.position_at_end(block)
        phis = [b.phi(value.type) for value in (const(0), *values)]
        for phi, value in zip(phis, (const(0), *values), strict=True):
            phi.add_incoming(value, entry)
        changed = body(phis[0], list(phis[1:]))
        following = b.add(phis[0], const(1))
        for phi, value in zip(phis, (following, *changed), strict=True):
            phi.add_incoming(value, b.block)
        b.cbranch(b.icmp_signed("<", following, count), block, after)
        b.position_at_end(after)
        return changed

    def when(self, condition: Any, values: list[Any], change: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """change(values) where the condition holds, else the values as they are: one branch for all of them."""
        b = self.b
        before, then, after = b.block, b.append_basic_block("then"), b.append_basic_block("after")
        b.cbranch(condition, then, after)
        b.position_at_end(then)
        changed, end = change(values), b.block
        b.branch(after)
        b.position_at_end(after)
        phis = [b.phi(value.type) for value in values]
        for phi, value, new in zip(phis, values, changed, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(new, end)
        return phis


def _suffix(kind: Any) -> str:
    """LLVM's name of a type, as its intrinsic functions carry it."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_suffix(kind.element)}"
    return "f32" if kind is F32 or isinstance(kind, ir.FloatType) else f"i{kind.width}"


def _alignment(kind: Any) -> int:
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    return 4 if isinstance(element, ir.FloatType) else max(1, element.width // 8)
