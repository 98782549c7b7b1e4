"""A server on this machine: files with ranges, cut connections, errors, slowness, and the hub's protocol."""

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file.

    cut_after  bytes after which the connection is cut, one number for each of the next requests
    errors     statuses that the next requests get
    pause      seconds before each 64 KiB
    """

    content: bytes
    etag: str = '"one"'
    cut_after: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    ranges: bool = True
    pause: float = 0
    headers: dict[str, str] = field(default_factory=dict)


class Loopback:
    """files: path -> Served; `requests`: (method, path, Range header) of every request."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        handler = type("Handler", (_Handler,), {"loopback": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def serve(self, path: str, content: bytes, **behaviour) -> Served:
        self.files[path] = Served(content, **behaviour)
        return self.files[path]

    def serve_hub(self, repo: str, revision: str, files: dict[str, bytes], sha256: str | None = None) -> list[Served]:
        """A dataset repository at one commit; `sha256` in place of the true checksums."""
        siblings = []
        for name, content in files.items():
            digest = sha256 or hashlib.sha256(content).hexdigest()
            headers = {"X-Repo-Commit": revision, "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            self.serve(f"/datasets/{repo}/resolve/{revision}/{name}", content, etag=f'"{digest}"', headers=headers)
            lfs = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append({"rfilename": name, "size": len(content), "blobId": "0" * 40, "lfs": lfs})
        info = {"id": repo, "sha": revision, "private": False, "disabled": False, "gated": False, "downloads": 0,
                "likes": 0, "tags": [], "siblings": siblings}  # fmt: skip
        self.serve(f"/api/datasets/{repo}/revision/{revision}", json.dumps(info).encode())
        return [self.files[f"/datasets/{repo}/resolve/{revision}/{name}"] for name in files]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def log_message(self, *_args) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.loopback.requests.append((self.command, path, self.headers.get("Range")))
        served = self.loopback.files.get(path)
        if served is None or (body and served.errors):
            return self._fail(404 if served is None else served.errors.pop(0))
        start = self._start(served)
        if start and start >= len(served.content):
            return self._fail(416, {"Content-Range": f"bytes */{len(served.content)}"})
        self.send_response(206 if start else 200)
        content = served.content[start:]
        headers = {"Content-Length": str(len(content)), "ETag": served.etag, "Accept-Ranges": "bytes", **served.headers}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(served.content) - 1}/{len(served.content)}"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self._send(content, served)
        return None

    def _start(self, served: Served) -> int:
        """First byte requested; 0 for the complete file, or for another version of it."""
        requested = self.headers.get("Range")
        if not (requested and served.ranges) or self.headers.get("If-Range", served.etag) != served.etag:
            return 0
        return int(requested.removeprefix("bytes=").partition("-")[0])

    def _send(self, content: bytes, served: Served) -> None:
        end = served.cut_after.pop(0) if served.cut_after else None
        for start in range(0, len(content[:end]), 1 << 16):
            time.sleep(served.pause)
            self.wfile.write(content[:end][start : start + (1 << 16)])
        if end is not None:
            self.wfile.flush()
            self.close_connection = True

    def _fail(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
