"""What takes seconds: one worker process does one task at a time, and the server never waits for it.

A task is a frozen dataclass with `run(report)`; equal tasks are one job, whoever asks. A session keeps its wish alive
by looking at the job; a job that nobody wants any more is stopped. The worker stays between tasks, so that torch and
the kernels are loaded once, and ends with the server.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, Protocol

from app.services.worker_process import Report, serve

WHOLE_RESULT = 2  # rank of what a page can do without for a while
LEASE_SECONDS = 6.0  # a session that has not looked for so long has left
STOP_SECONDS = 3.0  # a task that has not stopped by then is ended with its process
KEPT = 16  # finished jobs of a kind
MOST_WAITING = 32  # jobs, of all sessions: more would wait for longer than anybody looks

State = Literal["queued", "running", "done", "failed", "cancelled"]


class Task(Protocol):
    """Frozen and hashable. One that reads files has their `folder`, and starts again once they are replaced.

    kind  what a session wants at most one of
    rank  who goes first: 0 what is brief, 1 what a page waits for, WHOLE_RESULT what it can do without for a while
    """

    @property
    def kind(self) -> str: ...

    @property
    def rank(self) -> int: ...

    def run(self, report: Report) -> Any: ...


@dataclass(frozen=True)
class Status:
    """A job as a session sees it.

    ahead    jobs that will be done before it
    share    of the step, 0 to 1
    value    the result; until there is one a first result, or that of the last time
    problem  one sentence, where it failed
    """

    state: State
    ahead: int = 0
    share: float = 0.0
    step: str = ""
    value: Any = None
    problem: str = ""

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running")


@dataclass(eq=False)
class _Job:
    task: Task
    wanted: dict[str, float] = field(default_factory=dict)  # by session, when it last looked
    state: State = "queued"
    share: float = 0.0
    step: str = ""
    value: Any = None
    earlier: Any = None  # the result of the last time
    problem: str = ""

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running")

    @property
    def rank(self) -> int:
        """Whoever has a first result can do without the rest for a while."""
        return self.task.rank if self.value is None else WHOLE_RESULT


class Worker:
    """A queue, and the process that empties it; started by the first request."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: OrderedDict[Task, _Job] = OrderedDict()
        self._process: Any = None
        self._pipe: Connection | None = None
        self._thread: threading.Thread | None = None
        self._stamps: dict[Path, int] = {}
        self._outdated = False  # what the process keeps is of files that were replaced

    def renew(self, folder: Path, stamp: int) -> None:
        """Forget what was computed from a folder whose files have changed since this was last asked."""
        with self._changed:
            if self._stamps.setdefault(folder, stamp) == stamp:
                return
            self._stamps[folder] = stamp
            self._outdated = True
            for task, job in list(self._jobs.items()):
                if getattr(task, "folder", None) != folder:
                    continue
                if job.active:
                    job.value = job.earlier = None
                else:
                    del self._jobs[task]

    def request(self, task: Task, session: str, again: bool = False, lasting: bool = False) -> Status:
        """Ask for a task, in place of any other of its kind that this session waits for. What is known is kept, unless
        `again`; what failed or was cancelled starts anew. A new one is refused while too many wait. A wish lapses when
        its session looks no more, unless it is `lasting`.
        """
        with self._changed:
            for other in self._jobs:
                if other != task and other.kind == task.kind:
                    self.cancel(other, session)
            before = self._jobs.get(task)
            job = before if before and (before.active or (before.state == "done" and not again)) else None
            if job is None:
                waiting = len(self._queue())
                if waiting >= MOST_WAITING:
                    return Status("failed", problem=f"{waiting} other jobs are waiting. Try again in a minute.")
                self._jobs.pop(task, None)
                self._jobs[task] = job = _Job(task, earlier=before.earlier if before else None)
            elif task.rank < job.task.rank:  # equal, but asked for with more haste
                job.task = task
            job.wanted[session] = math.inf if lasting else time.monotonic()
            self._forget()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="worker-queue", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return self._status(job)

    def look(self, task: Task, session: str) -> Status | None:
        """How a job stands, if it was asked for; keeps this session's wish alive."""
        with self._changed:
            job = self._jobs.get(task)
            if job is None:
                return None
            if session in job.wanted:
                job.wanted[session] = max(job.wanted[session], time.monotonic())
            if job.state == "done":
                self._jobs.move_to_end(task)
            return self._status(job)

    def cancel(self, task: Task, session: str) -> None:
        """Give up a wish. The job stops unless another session still wants it."""
        with self._changed:
            if job := self._jobs.get(task):
                job.wanted.pop(session, None)
            self._changed.notify_all()

    def close(self) -> None:
        """End the process. A later request starts a new one."""
        with self._changed:
            for job in self._jobs.values():
                job.wanted.clear()
            process, self._process, self._pipe = self._process, None, None
        if process is not None:
            process.kill()
            process.join()

    # ---- in the queue's thread

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (waiting := self._queue()):
                    self._changed.wait()
                job = waiting[0]
                job.state = "running"
                outdated, self._outdated = self._outdated, False
            try:
                if outdated:
                    self._kill()
                self._do(job)
            except Exception as error:  # whatever it was, the queue has to go on
                known = isinstance(error, EOFError | ConnectionError)  # it was killed, or ran out of memory
                logging.getLogger(__name__).error("The worker process was lost", exc_info=not known)
                self._end(job, "failed", problem="The worker process ended unexpectedly. Start it again.")
                self._kill()

    def _queue(self) -> list[_Job]:
        """Those that wait, in the order in which they will be done; those that nobody wants any more are cancelled."""
        waiting = [job for job in self._jobs.values() if job.state == "queued"]
        for job in waiting:
            job.state = "queued" if self._wanted(job) else "cancelled"
        return sorted((job for job in waiting if job.state == "queued"), key=lambda job: job.rank)

    def _do(self, job: _Job) -> None:
        pipe = self._connected()
        pipe.send(job.task)
        stopped = 0.0
        gives_way = False
        while True:
            if pipe.poll(0.1):
                message, *rest = pipe.recv()
                if message == "progress":
                    with self._changed:
                        job.share, job.step = rest[0], rest[1]
                        job.value = job.value if rest[2] is None else rest[2]
                elif message == "done":
                    return self._end(job, "done", value=rest[0])
                elif message in ("failed", "broken"):
                    if message == "broken":  # nobody knows what of the process is still whole
                        self._kill()
                    return self._end(job, "failed", problem=rest[0])
                else:
                    return self._end(job, "cancelled")
            if not stopped and not self._wanted(job):
                stopped = time.monotonic()
                pipe.send("stop")  # a second time, if it gives way: `serve` passes over one too many
            elif not (stopped or gives_way) and self._has_to_wait(job):
                pipe.send("stop")
                gives_way = True
            elif stopped and time.monotonic() - stopped > STOP_SECONDS:
                self._kill()
                return self._end(job, "cancelled")

    def _has_to_wait(self, job: _Job) -> bool:
        """Whether a job is to make way: it keeps its first result, and starts again when its turn comes."""
        with self._changed:
            hurries = job.rank == WHOLE_RESULT and any(other.rank < job.rank for other in self._queue())
            return hurries or self._is_old(job)

    def _is_old(self, job: _Job) -> bool:
        """Whether the files that a job may have read were replaced since: it starts again, in a new process."""
        return self._outdated and hasattr(job.task, "folder")

    def _connected(self) -> Connection:
        if self._process is None or not self._process.is_alive() or self._pipe is None:
            spawn = multiprocessing.get_context("spawn")
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(theirs,), name="worker", daemon=True)
            process.start()
            theirs.close()  # so that their end is the only one, and reading ends when they do
            self._pipe, self._process = ours, process
        return self._pipe

    def _kill(self) -> None:
        process, self._process, self._pipe = self._process, None, None
        if process is not None:
            process.kill()
            process.join()

    def _end(self, job: _Job, state: State, value: Any = None, problem: str = "") -> None:
        with self._changed:
            state = "cancelled" if self._is_old(job) else state
            if state == "cancelled" and job.wanted:  # it made way, or was asked for again while it stopped
                job.state, job.share, job.step = "queued", 0.0, ""
                job.value = None if self._is_old(job) else job.value
                return
            if self._jobs.get(job.task) is job:
                self._jobs.move_to_end(job.task)  # the latest to end is the last to be forgotten
            job.state, job.problem = state, problem
            job.value = value if state == "done" else None
            job.earlier = job.earlier if job.value is None else job.value
            self._forget()

    def _wanted(self, job: _Job) -> bool:
        now = time.monotonic()
        with self._changed:
            job.wanted = {session: seen for session, seen in job.wanted.items() if now - seen < LEASE_SECONDS}
            return bool(job.wanted)

    def _forget(self) -> None:
        kept = Counter[str]()
        for task in [task for task, job in reversed(self._jobs.items()) if not job.active]:
            kept[task.kind] += 1
            if kept[task.kind] > KEPT:
                del self._jobs[task]

    def _status(self, job: _Job) -> Status:
        ahead, waiting = 0, self._queue()
        if job in waiting:
            ahead = waiting.index(job) + sum(other.state == "running" for other in self._jobs.values())
        value = job.earlier if job.value is None else job.value
        return Status(job.state, ahead, job.share, job.step, value, job.problem)


_WORKER = Worker()  # made here, as two sessions may come at once


def worker() -> Worker:
    """The server's one worker, for all sessions."""
    return _WORKER
