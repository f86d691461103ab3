"""A stand-in for Google Cloud Storage on loopback: one bucket, served from a folder.

Run as a program (``gcs_server.py FOLDER``): it prints its port. It answers listing, lookup and
reading by range of the JSON interface, with ETags and generations; nothing else.
"""

import hashlib
import json
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

BUCKET = "screen"
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
OBJECTS = f"/storage/v1/b/{BUCKET}/o"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlparse(self.path)
        query = parse_qs(url.query)
        if url.path == OBJECTS:
            prefix = query.get("prefix", [""])[0]
            paths = sorted(path for path in FOLDER.rglob("*") if path.is_file())
            names = [path.relative_to(FOLDER).as_posix() for path in paths]
            items = [describe(name) for name in names if name.startswith(prefix)]
            self._send(200, json.dumps({"kind": "storage#objects", "items": items}).encode())
            return
        name = unquote(url.path.removeprefix(f"{OBJECTS}/"))
        if not (FOLDER / name).is_file():
            self._send(404, b'{"error": {"code": 404, "message": "Not Found"}}')
        elif query.get("alt") == ["media"]:
            self._send_content((FOLDER / name).read_bytes())
        else:
            self._send(200, json.dumps(describe(name)).encode())

    def _send_content(self, content: bytes) -> None:
        asked = self.headers.get("Range")
        if not asked:
            self._send(200, content)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), int(last) + 1 if last else len(content)
        self._send(206, content[start:stop], f"bytes {start}-{stop - 1}/{len(content)}")

    def _send(self, status: int, body: bytes, content_range: str = "") -> None:
        self.send_response(status)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def describe(name: str) -> dict[str, str]:
    """An object as the JSON interface describes it."""
    path = FOLDER / name
    changed = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    return {
        "kind": "storage#object",
        "name": name,
        "bucket": BUCKET,
        "size": str(path.stat().st_size),
        "generation": str(path.stat().st_mtime_ns // 1000),
        "updated": changed.isoformat().replace("+00:00", "Z"),
        "etag": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
    }


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
