"""A hub in a thread: real sockets, and enough of the Hugging Face API for the real client to pull from."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES = 1000


@dataclass
class Hub:
    """What the hub holds, how it misbehaves, and what it was asked for."""

    files: dict[str, bytes]
    statuses: dict[str, list[int]] = field(default_factory=dict)
    """Answers to give first, by the end of the requested path."""
    cut_after_bytes: list[int] = field(default_factory=list)
    """Where the next content answers break off."""
    ignores_ranges: bool = False
    served: dict[str, bytes] = field(default_factory=dict)
    """Contents that differ from what is listed."""
    commit: str = COMMIT
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of every request."""
    endpoint: str = ""
    storage: str = ""

    def ranges(self) -> list[str]:
        """The Range headers of the content requests; empty when there was none."""
        return [headers.get("Range", "") for _, path, headers in self.asked if path.startswith("/storage/")]

    def listing(self) -> dict[str, Any]:
        siblings = [self._sibling(path, content) for path, content in self.files.items()]
        return {"id": "a/b", "sha": self.commit, "siblings": siblings, "tags": [], "private": False}

    def _sibling(self, path: str, content: bytes) -> dict[str, Any]:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": blob}
        if len(content) >= LARGE_BYTES:
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 130}
        return entry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_words: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append(("GET", path, {key.title(): value for key, value in self.headers.items()}))
        for end, statuses in self.hub.statuses.items():
            if path.endswith(end) and statuses:
                return self._answer(statuses.pop(0), b"")
        if path.startswith("/api/models/"):
            return self._answer(200, json.dumps(self.hub.listing()).encode())
        if path.startswith("/storage/"):
            return self._content(path.removeprefix("/storage/"))
        name = path.partition(f"/resolve/{self.hub.commit}/")[2]
        if name not in self.hub.files:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        return self._answer(
            302, b"", {"Location": f"{self.hub.storage}/storage/{name}", "X-Repo-Commit": COMMIT}
        )

    def _content(self, name: str) -> None:
        content, start = self.hub.served.get(name, self.hub.files[name]), 0
        asked = self.headers.get("Range", "")
        if asked and not self.hub.ignores_ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        part = content[start:]
        more = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        cut = self.hub.cut_after_bytes.pop(0) if self.hub.cut_after_bytes else None
        self._answer(206 if start else 200, part, {"ETag": '"x"', **more}, cut)

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None or self.close_connection


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    """Serve the API on one port and the contents on another, as the real hub does."""
    hub = Hub(files)
    handler = type("_HubHandler", (_Handler,), {"hub": hub})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    threads = [threading.Thread(target=each.serve_forever, args=(0.01,), daemon=True) for each in servers]
    for each in servers:
        each.daemon_threads = True
    for thread in threads:
        thread.start()
    hub.endpoint, hub.storage = (f"http://127.0.0.1:{each.server_port}" for each in servers)
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
