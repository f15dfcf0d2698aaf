"""``blazepose web``: a local page that runs weights in the browser, by MediaPipe's own runtime."""

import http.server
from argparse import ArgumentParser, Namespace
from pathlib import Path
from urllib.parse import urlsplit

from blazepose_jax.cli.local_server import (
    LOCAL_NAMES,
    SECONDS,
    LocalServer,
    check_port,
    host_of,
    serve,
)
from blazepose_jax.cli.options import add_weights, experiment_of, locate_weights
from blazepose_jax.cli.web_runtime import fetch_runtime, runtime_folder
from blazepose_jax.errors import BlazePoseError
from blazepose_jax.export.bundle import task_bytes
from blazepose_jax.export.convert import default_backend, to_tflite
from blazepose_jax.export.graph import make_graph
from blazepose_jax.io.shipped import shipped
from blazepose_jax.weights import read_stored
from blazepose_jax.weights.archive import read_task
from blazepose_jax.weights.own import ExperimentFile

PAGE = shipped("web")
VISION = runtime_folder(PAGE)
BINARY = "application/octet-stream"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".task": BINARY,
}


def add_arguments(parser: ArgumentParser) -> None:
    """The options."""
    add_weights(parser)
    parser.add_argument("--image", metavar="FILE", help="a photograph to begin with")
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="of localhost (default: 8000; 0: any)"
    )


def run(args: Namespace) -> None:
    """``blazepose web``."""
    if args.image is not None and not Path(args.image).is_file():
        raise BlazePoseError(f"image {args.image!r} is no file: give a photograph")
    check_port(args.port)
    locate_weights(args)
    if not VISION.is_dir():
        fetch_runtime(PAGE, VISION)
    model = task_of(args.weights, args.detector, experiment_of(args))
    image = Path(args.image) if args.image else None
    serve(lambda: make_server(model, image, args.port), args.port)


def task_of(weights: str, detector: str | None, experiment: ExperimentFile | None = None) -> bytes:
    """The .task of any weights: a .task as it is, a directory exported.

    Raises:
      BlazePoseError: bad weights, or a network is missing.
    """
    if Path(weights).is_file() and detector is None:
        read_task(Path(weights))
        return Path(weights).read_bytes()
    nets = read_stored(weights, detector, experiment=experiment)
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


class Server(LocalServer):
    """Serves the page, MediaPipe's runtime under ``vision/``, ``model.task`` and ``image``.

    Attributes:
      model: a .task.
      image: a photograph's path, or None.
    """

    def __init__(self, model: bytes, image: Path | None, port: int):
        """Listen on localhost alone; port 0 is any free one."""
        self.model, self.image = model, image
        super().__init__(port, Handler)

    def find(self, name: str) -> tuple[str, bytes] | None:
        """Content type and bytes of a path; None where there is no such thing.

        Args:
          name: without the first slash.

        Raises:
          OSError, ValueError: a path that no system takes, or a file that has gone.
        """
        if name == "model.task":
            return BINARY, self.model
        if name == "image":
            return None if self.image is None else (BINARY, self.image.read_bytes())
        root, rest = (
            (VISION, name.removeprefix("vision/")) if name.startswith("vision/") else (PAGE, name)
        )
        path = (root / rest).resolve()
        if not path.is_relative_to(root.resolve()) or not path.is_file():
            return None
        return (TYPES[path.suffix], path.read_bytes()) if path.suffix in TYPES else None


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    timeout = SECONDS

    def do_GET(self) -> None:
        """Answer with the file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer as to GET, without the file."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        # A page elsewhere whose name was bound anew to this address could read the photograph and
        # the model.
        if host_of(self.headers.get("Host", "")) not in LOCAL_NAMES:
            self.send_error(403, "this server answers to localhost alone")
            return
        try:
            found = self.server.find(urlsplit(self.path).path.lstrip("/") or "index.html")
        except (OSError, ValueError):
            found = None
        if found is None:
            self.send_error(404)
            return
        content_type, data = found
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: one line per request helps nobody."""


def make_server(model: bytes, image: Path | None, port: int) -> Server:
    """A server on localhost alone, with a .task and perhaps a photograph."""
    return Server(model, image, port)
