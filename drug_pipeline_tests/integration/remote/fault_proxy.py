"""An HTTP proxy on loopback that breaks answers on purpose, between a client and a real server."""

import re
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

Fault = Callable[[socket.socket, bytes], None]
"""Answers a client badly; gets the whole answer that the server gave."""


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    path: str
    n_bytes: int


def server_error(client: socket.socket, answer: bytes) -> None:
    client.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")


def slow_down(client: socket.socket, answer: bytes) -> None:
    client.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")


def forbidden(client: socket.socket, answer: bytes) -> None:
    client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def reset(client: socket.socket, answer: bytes) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def truncated(client: socket.socket, answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    client.sendall(head + b"\r\n\r\n" + body[: len(body) // 2])


def silent(seconds: float) -> Fault:
    def fault(client: socket.socket, answer: bytes) -> None:
        time.sleep(seconds)

    return fault


def late(seconds: float) -> Fault:
    def fault(client: socket.socket, answer: bytes) -> None:
        time.sleep(seconds)
        client.sendall(answer)

    return fault


class FaultProxy:
    """Passes requests on, unless it is told to misbehave."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        self.seen: list[Seen] = []
        self.before_answer: Callable[[Seen], None] = lambda seen: None
        self.behave()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def behave(self) -> None:
        """Pass everything on from now on."""
        self.misbehave(r"$^")

    def misbehave(
        self, matches: str, *faults: Fault, every: int = 1, times: int | None = None
    ) -> None:
        """Break answers to requests whose ``METHOD /path`` matches, one kind after the other.

        One request in so many (``every``) is broken, so many ``times`` in all, or for ever. Which
        ones, their own words decide, and asked again they are answered well: were every fourth
        broken as they come, two readers could keep step with it, and one of them get nothing but
        faults.
        """
        with self._lock:
            self._pattern = re.compile(matches)
            self._faults = faults
            self._every = every
            self._times = times
            self._n_asked: Counter[bytes] = Counter()
            self.n_broken = 0

    def fetched(self, pattern: str) -> list[Seen]:
        """Requests whose ``METHOD /path`` matches."""
        return [seen for seen in self.seen if re.search(pattern, f"{seen.method} {seen.path}")]

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                request = _read_request(client)
                if request:
                    self._answer(client, request)
            except OSError:
                return  # the client has gone away

    def _answer(self, client: socket.socket, request: bytes) -> None:
        method, path, _ = request.split(b"\r\n")[0].decode().split(" ")
        answer = self._ask(request)
        seen = Seen(method, path, len(answer.partition(b"\r\n\r\n")[2]))
        self.seen.append(seen)
        self.before_answer(seen)
        fault = self._next_fault(f"{method} {path}", _without_times(request))
        if fault is None:
            client.sendall(answer)
        else:
            fault(client, answer)

    def _next_fault(self, request: str, words: bytes) -> Fault | None:
        with self._lock:
            if not self._pattern.search(request):
                return None
            self._n_asked[words] += 1
            is_asked_again = self._every > 1 and self._n_asked[words] % 2 == 0
            is_spared = is_asked_again or zlib.crc32(words) % self._every
            if is_spared or self.n_broken == self._times:
                return None
            self.n_broken += 1
            return self._faults[(self.n_broken - 1) % len(self._faults)]

    def _ask(self, request: bytes) -> bytes:
        with socket.create_connection(self._upstream) as server:
            server.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            pieces = []
            while piece := server.recv(1 << 16):
                pieces.append(piece)
        return b"".join(pieces)


def _without_times(request: bytes) -> bytes:
    """What a request asks for: its first line and range, without what differs at each try."""
    head = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return b"\n".join([head[0], *(line for line in head if line.lower().startswith(b"range:"))])


def _read_request(client: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        piece = client.recv(1 << 16)
        if not piece:
            return b""
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += client.recv(1 << 16)
    return head + b"\r\n\r\n" + body
