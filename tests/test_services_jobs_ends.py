"""The worker process: tasks that fail, workers that are lost, and results that are forgotten."""

import threading
from pathlib import Path

import pytest
from working import Counting, Failing, Process, Reading, ended, until

from app.services import jobs
from app.services.jobs import Status, Worker
from app.services.speed_tasks import Timing


def test_a_users_mistake_keeps_its_sentence(worker: Worker) -> None:
    worker.request(Failing("refuse"), "a")
    assert until(worker, Failing("refuse"), ended) == Status("failed", problem="m = 0 is not allowed: use 1. Choose 1.")


def test_other_errors_stay_in_the_log(worker: Worker) -> None:
    worker.request(Failing("break"), "a")
    status = until(worker, Failing("break"), ended)
    assert status.state == "failed"
    assert "server's log" in status.problem
    assert "inner detail" not in status.problem


def test_what_came_after_an_unknown_error_is_done_by_a_new_process(worker: Worker) -> None:
    """Half an import, say, would fail every task from then on."""
    pids = []
    for number in range(2):
        worker.request(Process(number), "a")
        pids.append(until(worker, Process(number), ended).value)
        worker.request(Failing("break"), "a")
        until(worker, Failing("break"), ended)
    assert pids[0] != pids[1]


@pytest.mark.parametrize("how", ["die", "garble"])
def test_a_worker_that_is_lost_is_replaced(worker: Worker, how: str) -> None:
    worker.request(Failing(how), "a")
    status = until(worker, Failing(how), ended)
    assert status.state == "failed"
    assert "ended unexpectedly" in status.problem
    worker.request(Process(0), "a")
    assert until(worker, Process(0), ended).state == "done"


def test_a_task_that_does_not_stop_is_ended(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "STOP_SECONDS", 0.2)
    worker.request(Failing("hang"), "a")
    until(worker, Failing("hang"), lambda s: s.step == "hanging")
    worker.cancel(Failing("hang"), "a")
    assert until(worker, Failing("hang"), ended).state == "cancelled"
    worker.request(Process(0), "a")
    assert until(worker, Process(0), ended).state == "done"


def test_only_the_latest_results_are_kept(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    for number in range(4):
        worker.request(Process(number), "a")
        until(worker, Process(number), ended)
    known = [number for number in range(4) if worker.look(Process(number), "a")]
    assert known == [2, 3]


def test_each_kind_of_job_keeps_its_own_results(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 1)
    worker.request(Counting(2), "a")
    until(worker, Counting(2), ended)
    for number in range(3):
        worker.request(Process(number), "a")
        until(worker, Process(number), ended)
    status = worker.look(Counting(2), "a")
    assert status is not None
    assert status.value == 2


@pytest.mark.parametrize("steps", [0, 100])  # ended, and half way
def test_what_was_read_from_files_since_replaced_is_forgotten(worker: Worker, tmp_path: Path, steps: int) -> None:
    (tmp_path / "network").write_text("old")
    worker.renew(tmp_path, 1)
    task, other = Reading(tmp_path, steps), Process(0)
    worker.request(other, "a")
    until(worker, other, ended)
    worker.request(task, "a")
    assert until(worker, task, lambda status: status.value is not None).value == "old"
    (tmp_path / "network").write_text("new")
    worker.renew(tmp_path, 1)
    assert worker.look(task, "a") is not None  # nothing has changed as far as it was told
    worker.renew(tmp_path, 2)
    assert worker.look(other, "a") is not None  # read no file
    worker.request(task, "a")
    assert until(worker, task, ended).value == "new"


def test_a_failure_over_files_since_replaced_is_no_failure(worker: Worker, tmp_path: Path) -> None:
    task = Reading(tmp_path, 100)
    (tmp_path / "network").write_text("old")
    worker.renew(tmp_path, 1)
    worker.request(task, "a")
    until(worker, task, lambda status: status.value is not None)
    (job,) = worker._jobs.values()
    (tmp_path / "network").write_text("new")
    worker.renew(tmp_path, 2)
    worker._end(job, "failed", problem="x is not the file that was shipped")  # as while it is being replaced
    assert worker.request(task, "a").active
    assert until(worker, task, ended).value == "new"


def test_the_server_has_one_worker_which_waits_to_be_asked() -> None:
    before = threading.active_count()
    assert jobs.worker() is jobs.worker()
    assert threading.active_count() == before


def test_a_real_timing_comes_back_from_the_worker(worker: Worker) -> None:
    task = Timing("16,8,16,3,1", 1, 1)
    worker.request(task, "a")
    status = until(worker, task, ended)
    assert status.problem == ""
    found = status.value.of_layer(task.layer)
    assert found is not None
    assert found.all_correct
    assert {t.backend for t in found.rows} >= {"packed", "torch-fp32", "torch-bf16"}
    assert all(0 < t.p10_s <= t.median_s <= t.p90_s for t in found.rows)
