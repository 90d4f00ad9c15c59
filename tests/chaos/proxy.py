"""A TCP proxy that makes a link bad: cuts, silence, refusal, delay, a narrow pipe, bytes alone, losses.

TCP repeats what the network loses, so silence here means that bytes wait until the link heals, as they would
behind a firewall that drops packets; it never means a hole in the stream.
"""

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

POLL_S = 0.01
IDLE_S = 0.05
READ_BYTES = 65_536
BACKLOG_PIECES = 4096
RETRANSMISSION_S = 0.2
"""What a lost packet costs: Linux waits at least this long before it sends one again."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: close sends RST."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the link is; the default is fair."""

    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    """0 means as many as come."""
    slice_bytes: int = READ_BYTES
    loss: float = 0.0
    """Share of pieces that come a retransmission late."""
    silent: frozenset[str] = frozenset()
    """Directions in which nothing arrives: `up` to the broker, `down` to the agent."""


FAIR = Weather()
HALF_OPEN = Weather(silent=frozenset({"up", "down"}))


@dataclass(slots=True)
class _Lane:
    """One direction of one link."""

    name: str
    source: socket.socket
    target: socket.socket
    pieces: deque[tuple[float, bytes]] = field(default_factory=deque)
    free_s: float = 0.0
    """When the narrow pipe has passed what was taken so far."""

    def take(self, weather: Weather, rng: random.Random) -> bool:
        """Read what is there; False at the end of the stream."""
        data = self.source.recv(READ_BYTES)
        for start in range(0, len(data), weather.slice_bytes):
            piece = data[start : start + weather.slice_bytes]
            late_s = RETRANSMISSION_S if rng.random() < weather.loss else 0.0
            pipe_s = len(piece) / weather.bytes_per_s if weather.bytes_per_s else 0.0
            self.free_s = max(self.free_s, time.monotonic() + late_s) + pipe_s
            self.pieces.append((self.free_s + weather.latency_s, piece))
        return bool(data)

    def pass_on(self) -> None:
        """Write what is due, in order."""
        while self.pieces and self.pieces[0][0] <= time.monotonic():
            self.target.sendall(self.pieces.popleft()[1])


class Proxy:
    """Listens on `port` for the agent and passes everything on to the broker; use as a context manager."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._rng = random.Random(1)
        self._is_closed = threading.Event()
        self._cuts = 0
        """Grows with every cut; a link that began before ends."""
        self._links: list[threading.Thread] = []
        self._door = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self.weather = FAIR

    def __enter__(self) -> Self:
        self._door.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed.set()
        self._door.join()
        self.cut()
        self.refuse()

    @property
    def url(self) -> str:
        """Where the agent finds its broker."""
        return f"mqtt://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every link, towards both ends."""
        self._cuts += 1
        for link in self._links:
            link.join()
        self._links.clear()

    def refuse(self) -> None:
        """Let nobody in any more: the port is closed."""
        listener, self._listener = self._listener, None
        if listener:
            listener.shutdown(socket.SHUT_RDWR)  # closing alone waits for the thread that still looks at it
            listener.close()

    def heal(self) -> None:
        """Make the weather fair and open the port; links that are still there go on."""
        self.weather = FAIR
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))

    def _accept(self) -> None:
        while not self._is_closed.is_set():
            listener = self._listener
            # The listener may be closed at any moment: that is what `refuse` is for.
            with contextlib.suppress(OSError, ValueError):
                if listener is None or not select.select([listener], [], [], IDLE_S)[0]:
                    time.sleep(0 if listener else POLL_S)
                    continue
                agent, _ = listener.accept()
                link = threading.Thread(target=self._serve, args=(agent, self._cuts), daemon=True)
                link.start()
                self._links.append(link)

    def _serve(self, agent: socket.socket, cuts: int) -> None:
        """Pass bytes on until one end hangs up or the link is cut; the body of a link's thread."""
        with _resetting(agent), contextlib.suppress(OSError):
            broker = socket.create_connection(("127.0.0.1", self._broker_port), timeout=5)
            with _resetting(broker):
                lanes = (_Lane("up", agent, broker), _Lane("down", broker, agent))
                is_open = True
                while is_open and self._cuts == cuts:
                    is_open = self._turn(lanes)

    def _turn(self, lanes: tuple[_Lane, _Lane]) -> bool:
        weather = self.weather
        flowing = [lane for lane in lanes if lane.name not in weather.silent]
        for lane in flowing:
            lane.pass_on()
        sources = [lane.source for lane in flowing if len(lane.pieces) < BACKLOG_PIECES]
        is_waiting = len(flowing) < len(lanes) or any(lane.pieces for lane in lanes)
        readable, _, _ = select.select(sources, [], [], POLL_S if is_waiting else IDLE_S)
        return all(lane.take(weather, self._rng) for lane in flowing if lane.source in readable)


@contextlib.contextmanager
def _resetting(end: socket.socket) -> Iterator[None]:
    """Close one end of a link with RST, whatever happened."""
    try:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield
    finally:
        with contextlib.suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.close()
