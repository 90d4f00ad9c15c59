"""A device under test: a real agent process, and the requester that speaks with it."""

import contextlib
import json
import signal
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from agent.wire.topics import Topics
from rig.process import Child
from rig.requester import Envelope, Reply, Requester

DEVICE = "box"
SHORTEST_CANARY = 12
TOPICS = Topics("promptd", DEVICE)

Tables = Mapping[str, Mapping[str, Any]]

ECHO: Tables = {
    "engine": {"require": "echo", "slots": 1, "context_length": 600_000},
    "telemetry": {"interval_s": 0.2},
    "logs": {"format": "json"},
}


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that was sent."""

    topic: str
    correlation: bytes


class Box:
    """One device with its own state folder; it can be killed and started again."""

    def __init__(self, folder: Path, url: str, requester: Requester, tables: Tables | None = None) -> None:
        self.folder = folder
        self.url = url
        self.requester = requester
        self.config = folder / "promptd.toml"
        self.births = 0
        self.texts: set[str] = set()
        """Everything that was asked here, and with the echo engine everything that was answered."""
        self.configure(url, tables or {})
        self.child: Child

    def configure(self, url: str, tables: Tables) -> None:
        """Write the settings file: echo, one slot, and what the test wants otherwise."""
        whole = {name: {**ECHO.get(name, {}), **tables.get(name, {})} for name in {*ECHO, *tables, "broker"}}
        whole["broker"].setdefault("url", url)
        rows = [f'device_id = "{DEVICE}"', f'state_dir = "{self.folder}/state"']
        for name, table in whole.items():
            rows += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        self.config.write_text("\n".join(rows) + "\n")

    def launch(self, extra: Mapping[str, str] | None = None, options: Sequence[str] = ()) -> Child:
        """Start the process without waiting for it."""
        self.births += 1
        command = [sys.executable, "-m", "agent.cli", "run", "--config", str(self.config), *options]
        self.child = Child(command, extra)
        return self.child

    def start(self, extra: Mapping[str, str] | None = None) -> None:
        """Start the process and wait until it is ready."""
        self.launch(extra)
        self.wait_for_state("ready")

    def kill(self) -> None:
        """Kill -9."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def wait_for_state(self, state: str) -> Reply:
        """Wait for this status of the present life."""
        return self.requester.wait_for(
            lambda reply: (
                reply.topic == TOPICS.status
                and reply.body["state"] == state
                and reply.body["birth"] == self.births
            )
        )

    def wait_for_health(self, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a health report that is wanted."""
        reply = self.requester.wait_for(lambda r: r.topic == TOPICS.health and is_wanted(r.body))
        body: dict[str, Any] = reply.body
        return body

    def send(self, request: Mapping[str, Any] | bytes, operation: str = "chat", **envelope: Any) -> Ticket:  # noqa: ANN401 -- an Envelope's fields
        """Publish a request; its answer goes to a topic of its own unless `envelope` says otherwise."""
        name = uuid.uuid4().hex
        envelope = {
            "response_topic": f"promptd/v1/client/test/response/{name}",
            "correlation": name.encode(),
            **envelope,
        }
        payload = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.texts |= _texts(request)
        self.requester.publish(TOPICS.request(operation), payload, Envelope(**envelope))
        return Ticket(envelope["response_topic"], envelope["correlation"])

    def heard(self, ticket: Ticket, event: str, count: int = 1) -> list[Reply]:
        """Wait for replies of one kind to a request."""
        return self.requester.wait_for_many(
            lambda reply: reply.correlation == ticket.correlation and reply.event == event, count
        )

    def ending(self, ticket: Ticket) -> Reply:
        """Wait for the ending of a request."""
        return self.requester.wait_for(
            lambda reply: reply.correlation == ticket.correlation and reply.is_ending
        )

    def endings(self, ticket: Ticket) -> list[Reply]:
        """Return the endings that have come so far."""
        return [r for r in self.requester.replies if r.correlation == ticket.correlation and r.is_ending]

    def error_code(self, ticket: Ticket) -> str:
        """Wait for the ending and return its error code."""
        return str(self.ending(ticket).body["error"]["code"])

    def leaks(self) -> list[str]:
        """Return texts of prompts that the log or a report holds: there must be none (docs/ledger.md)."""
        reports = [reply.payload.decode() for reply in self.requester.replies if not reply.event]
        said = [*self.child.lines, *reports]
        return [text for text in self.texts if any(text in line for line in said)]

    def worker(self) -> psutil.Process:
        """Return the engine worker."""
        (worker,) = psutil.Process(self.child.process.pid).children()
        return worker

    @contextlib.contextmanager
    def busy_engine(self) -> Iterator[Ticket]:
        """Hold the only slot with a prompt that does not move until the context ends."""
        self.wait_for_down()  # whoever held the slot before has left it
        worker = self.worker()
        worker.suspend()
        try:
            ticket = self.send(chat("holds the slot", progress=True, priority="interactive"))
            self.wait_for_running()
            yield ticket
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.resume()

    def wait_for_running(self) -> None:
        """Wait for a health report, newer than this call, in which a prompt runs."""
        self._wait_for_new_health(lambda health: health["queue"]["running"] == 1)

    def wait_for_down(self) -> None:
        """Wait for a health report, newer than this call, in which no prompt runs."""
        self._wait_for_new_health(lambda health: health["queue"]["running"] == 0)

    def _wait_for_new_health(self, is_wanted: Callable[[dict[str, Any]], bool]) -> None:
        old = {id(reply) for reply in self.requester.replies}
        self.requester.wait_for(
            lambda reply: id(reply) not in old and reply.topic == TOPICS.health and is_wanted(reply.body)
        )


def chat(text: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """Return a chat request with one message."""
    return {"messages": [{"role": "user", "content": text}], **fields}


def _texts(request: Mapping[str, Any] | bytes) -> set[str]:
    """Return the texts of a request that are long enough to be found by chance nowhere."""
    if isinstance(request, bytes):
        return set()
    found = [str(message.get("content", "")) for message in request.get("messages", ())]
    return {text for text in (*found, str(request.get("prompt", ""))) if len(text) >= SHORTEST_CANARY}


@contextlib.contextmanager
def box_in(folder: Path, url: str, requester: Requester, tables: Tables | None = None) -> Iterator[Box]:
    """Keep a started device as long as the context lasts; what was asked must not stand in log or reports."""
    box = Box(folder, url, requester, tables)
    try:
        box.start()
        yield box
    finally:
        box.child.end()
    assert box.leaks() == []
