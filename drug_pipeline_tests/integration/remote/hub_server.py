"""A stand-in for a Hugging Face hub on loopback: one dataset, served from a folder.

It answers what ``huggingface_hub`` asks for when it lists and fetches: the revision, the tree with
the hashes of large files, and the content by range. It has no redirects to a content network and no
xet storage, as the real hub does.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "c0ffee" + "0" * 34
REPO = "tahoebio/Tahoe-100M"
PIECE_BYTES = 16_384


class HubServer:
    """The hub; ``content_of`` may be replaced to send something else than what is announced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str, str]] = []
        self.content_of: Callable[[str], bytes] = lambda path: (folder / path).read_bytes()
        self.cut_after: dict[str, int] = {}
        """Paths whose next answer stops after so many bytes."""
        self.seconds_per_piece = 0.0
        self.hashes: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def contents_sent(self) -> list[tuple[str, str]]:
        """Path and range of every content that was asked for."""
        return [(path, rng) for method, path, rng in self.requests if method == "GET" and path]

    def sha256(self, path: str) -> str:
        if path not in self.hashes:
            self.hashes[path] = hashlib.sha256((self.folder / path).read_bytes()).hexdigest()
        return self.hashes[path]

    def tree(self, folder: str) -> list[dict[str, object]]:
        files = sorted(path for path in (self.folder / folder).rglob("*.parquet"))
        return [self._entry(path.relative_to(self.folder).as_posix()) for path in files]

    def _entry(self, path: str) -> dict[str, object]:
        size = (self.folder / path).stat().st_size
        sha256 = self.sha256(path)
        lfs = {"oid": sha256, "size": size, "pointerSize": 134}
        return {"type": "file", "path": path, "size": size, "oid": sha256[:40], "lfs": lfs}


def _handler_of(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlparse(self.path).path)
            api, resolve = f"/api/datasets/{REPO}", f"/datasets/{REPO}/resolve/{COMMIT}/"
            if path == api or path.startswith(f"{api}/revision/"):
                revision = path.rsplit("/", 1)[-1]
                if revision not in ("Tahoe-100M", "main", COMMIT):
                    self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                    return
                self._send_json({"id": REPO, "sha": COMMIT, "siblings": [], "private": False})
            elif path.startswith(f"{api}/tree/{COMMIT}/"):
                self._send_json(hub.tree(path.removeprefix(f"{api}/tree/{COMMIT}/")))
            elif path.startswith(resolve):
                self._send_content(path.removeprefix(resolve))
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET

        def _send_content(self, path: str) -> None:
            content, asked = hub.content_of(path), self.headers.get("Range", "")
            hub.requests.append((self.command, path, asked))
            etag = f'"{hub.sha256(path)}"'
            headers = {
                "ETag": etag,
                "X-Linked-Etag": etag,
                "X-Repo-Commit": COMMIT,
                "X-Linked-Size": str(len(content)),
                "Accept-Ranges": "bytes",
            }
            if not asked:
                self._send(200, content, headers, path)
                return
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1 if last else len(content)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            self._send(206, content[start:stop], headers, path)

        def _send_json(self, document: object) -> None:
            self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str], path: str = "") -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = hub.cut_after.pop(path, None)
            for start in range(0, len(body) if cut is None else cut, PIECE_BYTES):
                self.wfile.write(body[start : min(start + PIECE_BYTES, cut or len(body))])
                time.sleep(hub.seconds_per_piece)
            if cut is not None:
                self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    return Handler
