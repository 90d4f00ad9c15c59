"""onnxruntime-genai's Engine behind MQTT: it batches by itself what is in hand at once."""

from typing import Any

import numpy as np
import onnxruntime_genai as og

from benchmarks.peers.bridged import given
from benchmarks.peers.doorstep import Asked, Doorstep
from benchmarks.peers.genai_model import load

EVENTS = 64
IS_TOKEN, IS_END = 1, 2


class Turns:
    """The requests that the engine has in hand."""

    def __init__(self, model: Any, door: Doorstep) -> None:  # noqa: ANN401 -- the library has no types
        self._engine, self._tokenizer, self._door = og.Engine(model), og.Tokenizer(model), door
        self._events = self._engine.create_event_buffer(EVENTS)
        self._running: list[tuple[Any, Asked, Any, int]] = []

    def begin(self, asked: Asked) -> None:
        """Hand a question to the engine."""
        request, tokens = self._engine.create_request(), self._tokenizer.encode(asked.text)
        options = og.TurnOptions(request)
        options.set_max_generated_tokens(asked.max_tokens)
        options.set_do_sample(False)
        request.begin_turn(np.array(tokens, dtype=np.int32), options)
        self._running.append((request, asked, self._tokenizer.create_stream(), len(tokens)))

    def run(self) -> None:
        """Compute until nothing is in hand; what arrives meanwhile joins."""
        while self._engine.has_pending_requests():
            for event in self._engine.run(self._events) or []:
                self._hear(event)
            for asked in self._door.waiting():
                self.begin(asked)

    def _hear(self, event: Any) -> None:  # noqa: ANN401 -- the library has no types
        one = next(one for one in self._running if one[0] == event.request)
        if event.flags.value & IS_TOKEN:
            self._door.say(one[1], one[2].decode(event.token))
        if event.flags.value & IS_END:
            self._door.finish(one[1], one[3])
            self._running.remove(one)


def main() -> None:
    """Answer until the process is ended."""
    port, setup = given()
    door = Doorstep(port)
    turns = Turns(load(setup), door)
    for asked in door.questions():
        turns.begin(asked)
        turns.run()


if __name__ == "__main__":
    main()
