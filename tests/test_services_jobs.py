"""The worker process: a queue, results and stopping."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from working import Brief, Counting, Process, Ranked, ended, until

from app.services import jobs
from app.services.jobs import Status, Worker

ROOT = Path(__file__).parents[1]


def test_a_job_runs_elsewhere_and_reports(worker: Worker) -> None:
    task = Counting(30, shows=True)
    started = time.monotonic()
    assert worker.request(task, "a").state == "queued"
    assert time.monotonic() - started < 0.3  # asking does not wait for the process
    running = until(worker, task, lambda s: s.value is not None)
    assert running.state == "running"
    assert running.step.startswith("step ")
    assert until(worker, task, ended) == Status("done", share=29 / 30, step="step 29", value=30)


def test_one_process_does_all_and_it_is_not_this_one(worker: Worker) -> None:
    pids = set()
    for number in range(2):
        worker.request(Process(number), "a")
        pids.add(until(worker, Process(number), ended).value)
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_the_script_of_the_pages_costs_the_worker_nothing() -> None:
    """A new process first reads the script that started it."""
    program = "import runpy, sys; runpy.run_path('streamlit_app.py', run_name='__mp_main__'); print(list(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "'streamlit'" not in done.stdout
    assert "'app'" not in done.stdout


def test_equal_tasks_are_one_job(worker: Worker) -> None:
    worker.request(Process(0), "a")
    first = until(worker, Process(0), ended)
    assert worker.request(Process(0), "b") == first
    assert worker.request(Process(0), "b", again=True).active


def test_others_wait_their_turn_and_know_their_place(worker: Worker) -> None:
    long, second, third = Counting(3000), Process(1), Process(2)
    worker.request(long, "a")
    until(worker, long, lambda s: s.state == "running")
    assert worker.request(second, "b").ahead == 1
    assert worker.request(third, "c").ahead == 2
    worker.cancel(second, "b")
    status = worker.look(third, "c")
    assert status is not None
    assert status.ahead == 1
    worker.cancel(long, "a")
    assert until(worker, long, ended).state == "cancelled"
    assert until(worker, third, ended, "c").state == "done"
    assert until(worker, second, ended, "b").state == "cancelled"


def test_what_is_brief_goes_first(worker: Worker) -> None:
    worker.request(Counting(3000), "a")
    until(worker, Counting(3000), lambda s: s.state == "running")
    assert worker.request(Process(1), "b").ahead == 1
    assert worker.request(Brief(2), "c").ahead == 1
    status = worker.look(Process(1), "b")
    assert status is not None
    assert status.ahead == 2
    worker.cancel(Counting(3000), "a")


def test_who_has_a_first_result_makes_way_keeps_it_and_starts_again(worker: Worker) -> None:
    task = Counting(100, shows=True)
    worker.request(task, "a")
    until(worker, task, lambda s: s.value is not None)
    worker.request(Process(1), "b")
    assert until(worker, Process(1), ended, "b").state == "done"
    status = worker.look(task, "a")
    assert status is not None
    assert status.active
    assert status.value is not None
    assert until(worker, task, ended).value == 100


def test_what_only_compares_makes_way_too(worker: Worker) -> None:
    worker.request(Counting(3000, rank=jobs.WHOLE_RESULT), "a")
    until(worker, Counting(3000, rank=jobs.WHOLE_RESULT), lambda s: s.state == "running")
    worker.request(Process(1), "b")
    assert until(worker, Process(1), ended, "b").state == "done"
    worker.cancel(Counting(3000, rank=jobs.WHOLE_RESULT), "a")


def test_an_earlier_result_stays_until_there_is_another(worker: Worker) -> None:
    task = Counting(100)
    worker.request(task, "a")
    assert until(worker, task, ended).value == 100
    again = worker.request(task, "a", again=True)
    assert (again.state, again.value) == ("queued", 100)
    until(worker, task, lambda s: s.state == "running")
    worker.cancel(task, "a")
    stopped = until(worker, task, ended)
    assert (stopped.state, stopped.value) == ("cancelled", 100)


def test_the_last_to_end_is_the_last_to_be_forgotten(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    long = Counting(60)
    worker.request(long, "a")
    until(worker, long, lambda s: s.state == "running")
    for i in range(4):
        worker.request(Process(i), f"b{i}")  # these were asked for later, and ended ...
        worker.cancel(Process(i), f"b{i}")
    assert until(worker, long, ended).value == 60  # ... before it


def test_a_job_that_is_asked_for_while_it_stops_is_done_after_all(worker: Worker) -> None:
    task = Counting(60, shows=True)
    worker.request(task, "a")
    until(worker, task, lambda s: s.value is not None)
    worker.cancel(task, "a")
    time.sleep(0.12)  # it has been told to stop
    worker.request(task, "b")
    assert until(worker, task, ended, "b").state == "done"


def test_a_full_queue_takes_no_more(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    worker.request(Counting(2), "a")
    until(worker, Counting(2), ended)
    worker.request(Counting(3000), "a")
    until(worker, Counting(3000), lambda s: s.state == "running")
    assert [worker.request(Process(i), f"b{i}").state for i in range(2)] == ["queued", "queued"]
    refused = worker.request(Process(2), "c")
    assert (refused.state, refused.problem) == ("failed", "2 other jobs are waiting. Try again in a minute.")
    assert worker.look(Process(2), "c") is None
    assert worker.request(Process(1), "c").state == "queued"  # one of those that wait already
    assert worker.request(Counting(3000), "c").state == "running"
    assert worker.request(Counting(2), "c").value == 2
    worker.cancel(Process(0), "b0")
    assert worker.request(Process(2), "c").state == "queued"
    worker.cancel(Counting(3000), "a")


def test_a_wish_that_was_replaced_waits_no_more(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    worker.request(Counting(3000), "a")
    until(worker, Counting(3000), lambda s: s.state == "running")
    for number in range(5):
        status = worker.request(Process(number), "b")
        assert (status.state, status.ahead) == ("queued", 1)
    worker.cancel(Counting(3000), "a")


def test_who_has_left_takes_no_place_in_the_queue(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.request(Counting(3000), "server", lasting=True)
    until(worker, Counting(3000), lambda s: s.state == "running", "server")
    worker.request(Process(0), "a")
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0.1)
    time.sleep(0.15)
    assert worker.request(Process(1), "b").ahead == 1
    left = worker.look(Process(0), "somebody else")
    assert left is not None
    assert left.state == "cancelled"
    worker.cancel(Counting(3000), "server")


def test_a_new_wish_of_a_kind_replaces_the_old_one(worker: Worker) -> None:
    worker.request(Counting(3000), "a")
    until(worker, Counting(3000), lambda s: s.state == "running")
    worker.request(Counting(2), "a")
    assert until(worker, Counting(3000), ended).state == "cancelled"
    assert until(worker, Counting(2), ended).value == 2


def test_a_job_that_another_session_wants_goes_on(worker: Worker) -> None:
    task = Counting(100)
    worker.request(task, "a")
    worker.request(task, "b")
    worker.cancel(task, "a")
    assert until(worker, task, ended, "b").state == "done"


def test_a_session_that_has_left_is_not_waited_for(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Counting(3000)
    worker.request(task, "a")
    until(worker, task, lambda s: s.state == "running")
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0.2)
    assert until(worker, task, ended, "somebody else").state == "cancelled"


def test_a_lasting_wish_is_kept_though_nobody_looks(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0.0)
    task = Counting(20)
    worker.request(task, "server", lasting=True)
    assert worker.look(task, "server") is not None  # which does not shorten it
    assert until(worker, task, ended, "server").state == "done"


def test_a_comparison_that_becomes_a_question_of_its_own_goes_first(worker: Worker) -> None:
    worker.request(Counting(50), "a")
    worker.request(Ranked(10, rank=2), "b")
    worker.request(Counting(11), "c")
    status = worker.request(Ranked(10, rank=0), "b")
    assert status.ahead <= 1  # the one that runs
