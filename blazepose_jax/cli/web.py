"""Weights come in.

A local web server leaves that runs them in MediaPipe's own runtime, in the browser.
"""

import http.server
import socketserver
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.bundle import task_bytes
from blazepose_jax.export.convert import default_backend, to_tflite
from blazepose_jax.export.graph import make_graph
from blazepose_jax.weights import read_stored
from blazepose_jax.weights.archive import read_task

PAGE = Path(__file__).resolve().parents[2] / "tools" / "web"
VISION = PAGE / "node_modules" / "@mediapipe" / "tasks-vision"
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
SECONDS = 30
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".task": "application/octet-stream",
}


def run(args: Namespace) -> None:
    """``blazepose web``."""
    if not (PAGE / "index.html").is_file():
        raise BlazePoseError(
            f"{PAGE} has no page: it lives in the repository; clone it and pip install -e ."
        )
    if not VISION.is_dir():
        raise BlazePoseError(f"{VISION} is missing: run `make clients`, or `npm ci` in {PAGE}")
    if args.image is not None and not Path(args.image).is_file():
        raise BlazePoseError(f"image {args.image!r} is no file: give a photograph")
    if not 0 <= args.port <= 65535:
        raise BlazePoseError(f"port is {args.port}: it must lie between 0 (any free one) and 65535")
    model = task_of(args.weights, args.detector)
    try:
        server = make_server(model, Path(args.image) if args.image else None, args.port)
    except OSError as error:
        raise BlazePoseError(
            f"port {args.port} cannot be used ({error.strerror}): give another --port"
        ) from error
    with server:
        print(f"open http://localhost:{server.server_address[1]}/ (Ctrl-C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


def task_of(weights: str, detector: str | None) -> bytes:
    """The .task of any weights: a .task as it is, a directory exported."""
    if Path(weights).is_file() and detector is None:
        read_task(Path(weights))
        return Path(weights).read_bytes()
    nets = read_stored(weights, detector)
    if lacking := [kind for kind in ("detector", "pose") if kind not in nets]:
        raise BlazePoseError(
            f"{weights} holds no {lacking[0]}: the page needs both networks; give one with "
            f"{'--detector' if lacking[0] == 'detector' else '--weights'} W"
        )
    files = {
        kind: to_tflite(make_graph(nets[kind]), backend=default_backend())
        for kind in ("detector", "pose")
    }
    return task_bytes(files["detector"], files["pose"])


def make_server(model: bytes, image: Path | None, port: int) -> socketserver.TCPServer:
    """A server on localhost alone.

    The page, MediaPipe's runtime under ``vision/``, ``model.task`` and ``image``.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = SECONDS  # of silence, then the connection is closed

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            # A page elsewhere whose name was bound anew to this address could read the photograph
            # and the model.
            if host_of(self.headers.get("Host", "")) not in LOCAL_NAMES:
                self.send_error(403, "this server answers to localhost alone")
                return
            try:
                found = self._find(urlsplit(self.path).path.lstrip("/") or "index.html")
            except (OSError, ValueError):  # a path that no system takes, or a file that has gone
                found = None
            if found is None:
                self.send_error(404)
                return
            kind, data = found
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if body:
                self.wfile.write(data)

        def _find(self, name: str) -> tuple[str, bytes] | None:
            if name == "model.task":
                return TYPES[".task"], model
            if name == "image":
                return None if image is None else ("application/octet-stream", image.read_bytes())
            root, rest = (
                (VISION, name.removeprefix("vision/"))
                if name.startswith("vision/")
                else (PAGE, name)
            )
            path = (root / rest).resolve()
            if (
                not path.is_relative_to(root.resolve())
                or not path.is_file()
                or path.suffix not in TYPES
            ):
                return None
            return TYPES[path.suffix], path.read_bytes()

        def log_message(self, format: str, *args: object) -> None:
            pass  # one line per request helps nobody

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exception(), OSError):  # browsers hang up as they like
                super().handle_error(request, client_address)

    return Server(("127.0.0.1", port), Handler)


def host_of(header: str) -> str:
    """The name in a Host header, without the port."""
    name = header.strip().lower()
    return name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
