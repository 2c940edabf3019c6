"""Threads of our own for the kernels, which hold no GIL. (Two callers of numba's `prange` at once abort a process.)"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
        self._others: ThreadPoolExecutor | None = None
        if count > 1:
            self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._others = ThreadPoolExecutor(self.count - 1, thread_name_prefix="cfcore")

    def share(self, size: int, work: Callable[[int, int], None]) -> None:
        """Call work(first, last) for contiguous parts of 0..size, one a thread, and wait for all of them."""
        if self._others is None or size < self.count:
            work(0, size)
            return
        if self._process != os.getpid():  # a forked child has none of its parent's threads
            self._start()
        cuts = [size * i // self.count for i in range(self.count + 1)]
        pending: list[Future[None]] = []
        try:
            for i in range(1, self.count):
                pending.append(self._others.submit(work, cuts[i], cuts[i + 1]))
            work(0, cuts[1])
        finally:
            _wait_whatever_comes(pending)
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


def _wait_whatever_comes(pending: list[Future[None]]) -> None:
    """Wait even where Ctrl-C interrupts it: nobody may still be writing when the caller goes on."""
    try:
        wait(pending)
    except BaseException:
        wait(pending)
        raise


ALONE = Threads(1)
"""The calling thread only."""
