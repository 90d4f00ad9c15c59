"""Live workers that end with their test."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from agent.settings import EngineSettings
from agent.worker.process import Worker, spawn
from agent.worker.start import Candidate, start
from agent.worker.supervisor import Supervisor
from worker.watching import Witness

OpenWorker = Callable[[], Worker]
StartWorker = Callable[[Candidate], Worker]
Supervise = Callable[[Sequence[Candidate]], Supervisor]


@pytest.fixture
def open_worker() -> Iterator[OpenWorker]:
    """Return a function that starts a real worker process."""
    workers: list[Worker] = []

    def open_one() -> Worker:
        workers.append(spawn())
        return workers[-1]

    yield open_one
    for worker in workers:
        worker.kill()
        worker.bury()


@pytest.fixture
def start_worker(open_worker: OpenWorker) -> StartWorker:
    """Return a function that starts a real worker, which loads and proves an engine."""

    def start_one(candidate: Candidate) -> Worker:
        worker = open_worker()
        start(candidate, lambda: worker)
        return worker

    return start_one


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def supervise(witness: Witness) -> Iterator[Supervise]:
    """Return a function that lets a supervisor run on its thread until the test ends."""
    running: list[tuple[Supervisor, threading.Thread]] = []

    def run(candidates: Sequence[Candidate]) -> Supervisor:
        supervisor = Supervisor(candidates, EngineSettings(), witness)
        thread = threading.Thread(target=supervisor.run, name="supervisor")
        running.append((supervisor, thread))
        thread.start()
        return supervisor

    yield run
    for supervisor, thread in running:
        supervisor.stop()
        thread.join(10)
        assert not thread.is_alive()
