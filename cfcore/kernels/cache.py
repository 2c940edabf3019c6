"""The kernels' machine code on disk: one file for each kernel and types, believed only where it is whole and its own.

numba keeps an index beside numbered files. A process that dies between the two, or one of an older source, leaves an
index that names another kernel's code. Here there is no index: a file is named after what was compiled, put in its
place whole, and sealed with a hash of the source, the types, the machine and its own bytes. What has another seal is
compiled anew and overwritten.

Code also calls other code by name, and where two pieces bring the same name, the first one loaded is called by both.
numba tells kernels that a factory made by a number, which it counts anew in each process: of two processes that
compile at the same time, one may give to a kernel of signs the number that the other gives to one of levels. So
`name_by_closure` puts what a kernel closes over into its name.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.serialize import dumps

SEAL_BYTES = sha256().digest_size


class KernelCache(FunctionCache):  # type: ignore[misc]
    """What numba asks for the code of a function. RuntimeError where there is no folder for it."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = SealedFiles(self._cache_path, self._impl.filename_base, stamp())

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return sig, codegen.magic_tuple()  # the name says the rest, and the stamp the source

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        """Around each load and save: a disk that is full or may not be written is no cache, and no error."""
        with suppress(OSError):
            yield


class SealedFiles(IndexDataCacheFile):  # type: ignore[misc]
    """The files of one function; a key says the types and the machine."""

    def __init__(self, cache_path: str, filename_base: str, source_stamp: str) -> None:
        super().__init__(cache_path, filename_base, source_stamp)
        self._base = filename_base

    def save(self, key: Any, data: Any) -> None:
        """Put the file in its place, whole."""
        content = self._dump(data)
        with self._open_for_write(self._path(key)) as file:
            file.write(self._seal(key, content) + content)

    def load(self, key: Any) -> Any:
        """The data saved under the key; None where there is none, or other bytes than `save` wrote from this source."""
        sealed = Path(self._path(key)).read_bytes()
        seal, content = sealed[:SEAL_BYTES], sealed[SEAL_BYTES:]
        if seal != self._seal(key, content):
            return None
        return pickle.loads(content)  # noqa: S301 - numba's own form of code, written here

    def _path(self, key: Any) -> str:
        return str(Path(self._cache_path, f"{self._base}.{sha256(repr(key).encode()).hexdigest()[:32]}.nbc"))

    def _seal(self, key: Any, content: bytes) -> bytes:
        return sha256(repr((self._version, self._source_stamp, key)).encode() + content).digest()


def name_by_closure(function: Any) -> None:
    """Add to a function's qualified name a hash of what it closes over, the same in every process."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    if cells:
        kernels = [getattr(cell, "py_func", None) for cell in cells]  # numba's own bytes of one have a random number
        values = [kernel.__qualname__ if kernel else dumps(cell) for kernel, cell in zip(kernels, cells, strict=True)]
        function.__qualname__ += "_" + sha256(repr(values).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def stamp(folder: Path = Path(__file__).parent) -> str:
    """A hash of the source of everything that can be compiled into a kernel.

    numba alone would watch the file of the function only, though code of other files is compiled into it.
    """
    files = [folder.parent / "bitpack.py", *sorted(folder.glob("*.py"))]
    return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
