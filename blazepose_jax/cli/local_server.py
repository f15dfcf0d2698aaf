"""HTTP servers of pages that are for this machine alone."""

import http.server
import socket
import sys
from collections.abc import Callable

from blazepose_jax.errors import BlazePoseError

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
SECONDS = 30  # of silence, after which a connection is closed


class LocalServer(http.server.ThreadingHTTPServer):
    """Listens on localhost alone, with a thread a connection."""

    daemon_threads = True

    def __init__(self, port: int, handler: type[http.server.BaseHTTPRequestHandler]):
        """Take a port; 0 is any free one."""
        super().__init__(("127.0.0.1", port), handler)

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Report what is no fault of the browser's, which hangs up as it likes."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def check_port(port: int) -> None:
    """Refuse what is no port, before anything is loaded.

    Raises:
      BlazePoseError: such a number.
    """
    if not 0 <= port <= 65535:
        raise BlazePoseError(f"port is {port}: it must lie between 0 (any free one) and 65535")


def serve(make: Callable[[], LocalServer], port: int) -> None:
    """Serve until Ctrl-C.

    Args:
      make: the server, which takes its port when it is made.
      port: for the message.

    Raises:
      BlazePoseError: a port that cannot be used.
    """
    try:
        server = make()
    except OSError as error:
        raise BlazePoseError(
            f"port {port} cannot be used ({error.strerror}): give another --port"
        ) from error
    with server:
        print(f"open http://localhost:{server.server_address[1]}/ (Ctrl-C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


def host_of(header: str) -> str:
    """The name in a Host header, without the port."""
    name = header.strip().lower()
    return name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
