"""The worker process: what it does with the tasks that `jobs` sends it."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from cfcore import openmp
from cfcore.errors import Cancelled, CfcoreError

UNKNOWN = "It failed for a reason that is in the server's log. Start it again, or report it."

Report = Callable[..., None]
"""report(share, step, value=None): share done of this step, what it is, and a first result. Raises Cancelled."""


def serve(pipe: Connection) -> None:
    """Tasks come in; progress, then one result, go out: done, cancelled, failed with a sentence, or broken."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's; the pipe's end tells us
    openmp.give_way()

    def report(share: float, step: str, value: Any = None) -> None:
        pipe.send(("progress", share, step, value))
        while pipe.poll():
            if pipe.recv() == "stop":
                raise Cancelled("Stopped.")

    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        if task == "stop":  # came too late
            continue
        try:
            answer = ("done", task.run(report))
        except Cancelled:
            answer = ("cancelled", None)
        except CfcoreError as error:
            answer = ("failed", str(error))
        except Exception:
            logging.getLogger(__name__).exception("A task failed: %s", task)
            answer = ("broken", UNKNOWN)
        try:
            pipe.send(answer)
        except Exception:
            logging.getLogger(__name__).exception("A result cannot be sent: %s", task)
            pipe.send(("broken", UNKNOWN))
