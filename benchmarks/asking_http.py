"""Asks over HTTP as OpenAI's clients do, with a stream of events, many at once."""

import http.client
import json
import socket
import time
from typing import Any

from benchmarks.answer import Answer, PeerError, Question

ANSWER_TIMEOUT_S = 1200.0
PREFIX = b"data: {"


class HttpAsker:
    """One connection for each question."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, question: Question) -> Answer:
        """Post, and read the stream of events to its end."""
        body, path = json.dumps(_body(question)), "chat/completions" if question.is_chat else "completions"
        connection = _connected(self._port)
        sent_s, first_s = time.perf_counter(), 0.0
        connection.request("POST", f"/v1/{path}", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise PeerError(f"refused with {response.status}: {response.read().decode()}")
        lines: list[bytes] = []
        while line := response.readline():
            if line.startswith(PREFIX):
                lines.append(line)
                if not first_s and _text(json.loads(line[len(PREFIX) - 1 :])):
                    first_s = time.perf_counter()
        ended_s = time.perf_counter()
        connection.close()
        return _answer(question, (sent_s, first_s or ended_s, ended_s), lines)


def _connected(port: int) -> http.client.HTTPConnection:
    """Return a fresh connection: some servers close one after a stream, without saying so."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _body(question: Question) -> dict[str, Any]:
    body: dict[str, Any] = {"max_tokens": question.max_tokens, "temperature": 0, "stream": True}
    body["stream_options"] = {"include_usage": True}
    if question.is_chat:
        body["messages"] = [{"role": "user", "content": question.text}]
    else:
        body["prompt"] = question.text
    if question.schema is not None:
        schema = {"name": "answer", "schema": question.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _text(event: dict[str, Any]) -> str:
    if "error" in event:
        raise PeerError(f"failed: {event['error']}")
    choices = event.get("choices") or [{}]
    return choices[0].get("text") or choices[0].get("delta", {}).get("content") or ""


def _answer(question: Question, times_s: tuple[float, float, float], lines: list[bytes]) -> Answer:
    """Put the pieces together; where a server does not count, what it stopped at tells the tokens."""
    events = [json.loads(line[len(PREFIX) - 1 :]) for line in lines]
    pieces = [_text(event) for event in events]
    usage: dict[str, int] = next((event["usage"] for event in reversed(events) if event.get("usage")), {})
    reasons = {choice.get("finish_reason") for event in events for choice in event.get("choices") or []}
    counted = question.max_tokens if "length" in reasons else sum(1 for piece in pieces if piece)
    tokens = usage.get("completion_tokens", counted)
    return Answer(*times_s, usage.get("prompt_tokens", 0), tokens, "".join(pieces))
