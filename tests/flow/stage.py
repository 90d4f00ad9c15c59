"""A dispatcher between a real ledger and a supervisor that computes nothing."""

import json
import threading
from collections.abc import Callable
from typing import Any, cast

from agent.engines.options import EngineFacts, Speeds
from agent.flow.dispatcher import Dispatcher
from agent.flow.endings import Endings
from agent.flow.ledger import Ledger
from agent.flow.meter import Meter
from agent.host.pulse import spawn
from agent.wire.packets import Publication
from agent.wire.replies import EngineBadge
from agent.worker.death import Death
from agent.worker.frames import Finished, FromWorker, Generate, Progress, Refused, ToWorker
from agent.worker.start import Proven
from agent.worker.supervisor import EngineState, Supervisor

PATIENCE_S = 10


class Stage:
    """A supervisor that computes nothing, and the test's view of what was asked of it."""

    def __init__(self, ledger: Ledger, speeds: Speeds | None = None) -> None:
        self.state = EngineState("echo")
        self.frames: list[ToWorker] = []
        self.chunks: list[Publication] = []
        self.too_large = ""
        self.killed: list[Death] = []
        self._news = threading.Condition()
        self._ledger = ledger
        endings = Endings(ledger, Meter(), self._wake)
        measured = {"echo": speeds} if speeds else None
        self.dispatcher = Dispatcher(ledger, endings, self._publish, self._wake, measured)
        self.dispatcher.supervisor = cast("Supervisor", self)
        self.deaths: list[BaseException] = []
        self._thread = spawn("dispatcher", self.dispatcher.run, lambda _, error: self.deaths.append(error))

    def send(self, frame: ToWorker) -> Refused | None:
        if isinstance(frame, Generate) and frame.messages[0].content == self.too_large:
            return Refused(frame.id, "payload_too_large", "too large")
        self.frames.append(frame)
        return None

    def stop(self) -> None:
        self.dispatcher.stop()
        self._thread.join(PATIENCE_S)

    def kill(self, death: Death) -> None:
        self.dispatcher.engine_down(death)
        self.killed.append(death)

    def up(self, slots: int) -> None:
        facts = EngineFacts("none", "echo", slots, 512, 1, 257)
        self.dispatcher.engine_up(Proven(facts, EngineBadge("echo", "demo", "")))

    def started(self, count: int) -> list[str]:
        """Wait for prompts that were given to the worker and return their texts."""
        self.wait_for(lambda: len(self._generates()) >= count)
        return [frame.messages[0].content for frame in self._generates()]

    def finish(self, index: int = -1, text: str = "") -> None:
        name = self._generates()[index].id
        self.dispatcher.engine_frame(Finished(name, text, "stop", 1, 1, 1.0, 1.0))

    def say(self, text: str) -> None:
        self.dispatcher.engine_frame(Progress(self._generates()[-1].id, text, 1))

    def hear(self, frame: FromWorker) -> None:
        self.dispatcher.engine_frame(frame)

    def refuse(self, code: str) -> None:
        self.dispatcher.engine_frame(Refused(self._generates()[-1].id, code, "no"))

    def endings(self, count: int) -> dict[str, Any]:
        """Wait for endings; return error codes or texts by prompt."""
        self.wait_for(lambda: len(self._ledger.letters(99)) >= count)
        return dict(_outcome(letter.publication) for letter in self._ledger.letters(99))

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(is_so, PATIENCE_S), (self.frames, self._ledger.letters(99))

    def _generates(self) -> list[Generate]:
        return [frame for frame in self.frames if isinstance(frame, Generate)]

    def _publish(self, publication: Publication) -> int | None:
        self.chunks.append(publication)
        return None

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()


def _outcome(publication: Publication) -> tuple[str, str]:
    body = json.loads(publication.payload)
    is_answer = "choices" in body
    return body["id"], body["choices"][0]["message"]["content"] if is_answer else body["error"]["code"]
