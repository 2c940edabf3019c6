"""Threads of our own for the kernels, which hold no GIL. (Two callers of numba's `prange` at once abort a process.)"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from cfcore.errors import bad_value


class Threads:
    """A number of threads, the caller's own among them, that share out a range. Use it in a `with`, or `close` it.

    >>> with Threads(2) as threads:
    ...     done = []
    ...     threads.share(5, lambda first, last: done.append((first, last)))
    ...     sorted(done)
    [(0, 2), (2, 5)]
    """

    def __init__(self, count: int = 1) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise bad_value("threads", count, "a whole number from 1", "Choose 1.")
        self.count = count
        self._others = ThreadPoolExecutor(count - 1, thread_name_prefix="cfcore") if count > 1 else None

    def share(self, size: int, work: Callable[[int, int], None]) -> None:
        """Call work(first, last) for contiguous parts of 0..size, one a thread, and wait for all of them."""
        if self._others is None or size < self.count:
            work(0, size)
            return
        cuts = [size * i // self.count for i in range(self.count + 1)]
        pending = [self._others.submit(work, cuts[i], cuts[i + 1]) for i in range(1, self.count)]
        try:
            work(0, cuts[1])
        finally:
            wait(pending)  # nobody may still be writing when the caller goes on
        for future in pending:
            future.result()

    def close(self) -> None:
        """Let the other threads end."""
        if self._others is not None:
            self._others.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


ALONE = Threads(1)
"""The calling thread only."""
