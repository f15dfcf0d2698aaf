"""The server of ``blazepose live``, on localhost alone."""

import http.server
import json
import mimetypes
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from blazepose_jax.cli.live.session import Session
from blazepose_jax.cli.local_server import LOCAL_NAMES, SECONDS, LocalServer, host_of
from blazepose_jax.errors import BlazePoseError

PAGES = {"": ("page.html", "text/html; charset=utf-8"), "page.js": ("page.js", "text/javascript")}
FRAME_BYTES = 16 * 2**20
PART = 4 * 2**20  # most bytes of a clip in one answer
# A page of another origin cannot send this without asking first, which nobody answers.
TIME = "X-Frame-Time"
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: mediastream:;"
    " style-src 'unsafe-inline'"
)


class Server(LocalServer):
    """Serves the page, answers its pictures.

    Attributes:
      session: tracks.
      clip: a video in the camera's place, or None.
    """

    def __init__(self, session: Session, clip: Path | None, port: int):
        """Listen on localhost alone; port 0 is any free one."""
        self.session, self.clip = session, clip
        super().__init__(port, Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection, picture after picture."""

    server: Server
    timeout = SECONDS
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The page, what it is to show, or the clip."""
        if not self._is_local():
            return
        name = urlsplit(self.path).path.lstrip("/")
        session, clip = self.server.session, self.server.clip
        if name in PAGES:
            file, kind = PAGES[name]
            self._answer(200, (Path(__file__).parent / file).read_bytes(), kind)
        elif name == "about":
            about = {
                "names": session.names,
                "bones": session.bones,
                "count": session.count,
                "clip": clip is not None,
            }
            self._json(200, about)
        elif name == "clip" and clip is not None:
            self._clip(clip)
        else:
            self._json(404, {"error": "there is no such page"})

    def do_POST(self) -> None:
        """A picture, or a word about the recording."""
        if not self._is_local():
            return
        name, session = urlsplit(self.path).path.lstrip("/"), self.server.session
        body = self._body()
        if body is None:
            return
        try:
            if name == "frame":
                self._json(200, session.frame(body, seconds(self.headers[TIME])))
            elif name == "start":
                self._json(200, {"file": session.start_recording()})
            elif name == "stop":
                self._json(200, {"frames": session.stop_recording()})
            elif name == "reset":
                session.reset()
                self._json(200, {})
            else:
                self._json(404, {"error": "there is no such page"})
        except (BlazePoseError, OSError) as error:
            self._json(400, {"error": str(error)})

    def _is_local(self) -> bool:
        """Whether the page is ours: not one elsewhere whose name was bound anew to this address."""
        if host_of(self.headers.get("Host", "")) in LOCAL_NAMES and (
            self.command == "GET" or self.headers.get(TIME) is not None
        ):
            return True
        # What follows on this connection may be the body that was not read.
        self.close_connection = True
        self._json(403, {"error": "this server answers to its own page alone"})
        return False

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > FRAME_BYTES:
            self.close_connection = True
            self._json(413, {"error": f"a picture has at most {FRAME_BYTES} bytes"})
            return None
        return self.rfile.read(int(length))

    def _clip(self, clip: Path) -> None:
        """The file or the part that a player asks for."""
        size = clip.stat().st_size
        found = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", self.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        stop = min(int(found[2]) if found and found[2] else size - 1, start + PART - 1, size - 1)
        kind = mimetypes.guess_type(clip.name)[0] or "video/mp4"
        if start > stop:
            self._answer(416, b"", kind, {"Content-Range": f"bytes */{size}"})
            return
        with clip.open("rb") as file:
            file.seek(start)
            data = file.read(stop + 1 - start)
        # A player that asks for all gets the beginning, and asks for the rest.
        self._answer(206, data, kind, {"Content-Range": f"bytes {start}-{stop}/{size}"})

    def _json(self, status: int, content: dict[str, Any]) -> None:
        self._answer(status, json.dumps(content).encode(), "application/json")

    def _answer(
        self, status: int, data: bytes, kind: str, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
            "Accept-Ranges": "bytes",
            **(more or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: one line per request helps nobody."""


def seconds(word: str) -> float:
    """A frame's time.

    Raises:
      BlazePoseError: no number.
    """
    try:
        return float(word)
    except ValueError as error:
        raise BlazePoseError(f"{TIME} is {word!r}: it is the frame's time in seconds") from error


def make_server(session: Session, clip: Path | None, port: int) -> Server:
    """A server on localhost alone."""
    return Server(session, clip, port)
