"""Plain HTTP on the port of the chat: a page for browsers, and two for those who run the server.

    /           a chat client (the files of `lab/web`, each under its own name); `/?lesson` teaches
    /healthz    `ok`, as soon as the server serves
    /metrics    figures, in the text format of Prometheus

The last two may have a port of their own as well (`open_health_door`), which those who flood the first do not
reach: whoever watches the server, to restart it if it hangs, is not to take a flood for that.

All files are read once, at the start. The path of a request is only looked up in that table, so it
cannot lead to any other file on the disk.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from lab.metrics import CONTENT_TYPE, Figures, as_text

WEB = Path(__file__).parent / "web"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The content type of each kind of file that the page has; other files are not served."""
NO_ROOMS = b'<meta name="rooms" content="">'
"""What is in the page where the rooms are that it offers."""
PLAIN = "text/plain; charset=utf-8"
HEADERS = {
    # A message is shown as text. Should it ever come to be taken for HTML, its scripts would not run.
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Connection": "close",
}
"""The headers of every answer."""


class Pages:
    """Answers HTTP requests that do not ask for a WebSocket.

    `figures` gives what `/metrics` shows, and `rooms` are those that the page offers.

    Raises OSError if the page's files cannot be read.
    """

    def __init__(self, figures: Callable[[], Figures], rooms: Sequence[str] = ()) -> None:
        self._figures = figures
        self._files = {
            "/" if path.name == "index.html" else f"/{path.name}": (TYPES[path.suffix], path.read_bytes())
            for path in WEB.iterdir()
            if path.suffix in TYPES
        }
        content_type, page = self._files["/"]
        offered = html.escape(",".join(rooms)).encode()
        self._files["/"] = content_type, page.replace(NO_ROOMS, NO_ROOMS.replace(b'""', b'"%b"' % offered))

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a plain request; None if it asks for a WebSocket."""
        if "Upgrade" in request.headers:
            return None
        if request.method not in ("GET", "HEAD"):
            status, content_type, body = HTTPStatus.METHOD_NOT_ALLOWED, PLAIN, b"There are GET and HEAD.\n"
        else:
            status, content_type, body = self._find(request.path.partition("?")[0])
        headers = Headers({"Content-Type": content_type, "Content-Length": str(len(body)), **HEADERS})
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD"
        return Response(status.value, status.phrase, headers, b"" if request.method == "HEAD" else body)

    def answer_health(self, connection: ServerConnection, request: Request) -> Response:
        """The answer on the second port."""
        page = self.answer(connection, request) if request.path in ("/healthz", "/metrics") else None
        return page or connection.respond(HTTPStatus.NOT_FOUND, "There are /healthz and /metrics.\n")

    def _find(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body."""
        if path in self._files:
            return HTTPStatus.OK, *self._files[path]
        if path == "/healthz":
            return HTTPStatus.OK, PLAIN, b"ok\n"
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, as_text(self._figures()).encode()
        return HTTPStatus.NOT_FOUND, PLAIN, b"There are /, /healthz and /metrics.\n"


async def open_health_door(host: str, port: int, pages: Pages) -> Server:
    """Answer /healthz and /metrics on another port. Raises OSError or UnicodeError if it cannot be had."""

    async def no_session(connection: ServerConnection) -> None:
        """Nothing gets here: each request is answered before."""

    return await serve(
        no_session, host, port, process_request=pages.answer_health, compression=None, open_timeout=2.0
    )
