"""What the errors of the websockets library, of TLS and of sockets say about a server, by keys of our texts.

The library's sentences are in English, and written for those who program with it. `why_not_opened` is for
errors before a connection is open, `violation_of` for those that end an open one because of what was sent.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit, urlunsplit

from websockets.exceptions import (
    InvalidHeader,
    InvalidStatus,
    NegotiationError,
    PayloadTooBig,
    ProtocolError,
    TooManyFragments,
    WebSocketException,
)

from harness.judged.machine_limits import limit_of
from harness.judged.targets import without_user

SHOWN = 200
"""Characters that are shown of what a server sent."""
_AROUND = 25
"""Bytes that are shown before and after one that is no UTF-8."""
_REDIRECTS = (300, 301, 302, 303, 307, 308)
_FAR = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)
_CERTIFICATES = {
    10: "expired",
    **dict.fromkeys((18, 19, 20, 21), "self_signed"),
    **dict.fromkeys((62, 64), "other_name"),
}
"""What is wrong with a certificate, by OpenSSL's numbers."""
_VIOLATIONS = {
    "incorrect masking": "masked",
    "reserved bits must be 0": "reserved",
    "invalid opcode": "opcode",
    "control frame too long": "control",
    "fragmented control frame": "control",
    "expected a continuation frame": "fragments",
    "unexpected continuation frame": "fragments",
    "incomplete fragmented message": "fragments",
    "too many control frames": "pings",
    "close frame too short": "close_frame",
    "invalid status code": "close_frame",
}
"""Violations of RFC 6455, by the library's names."""


class NotOpened(ConnectionError):  # noqa: N818 - named for what it says
    """No connection was opened: `why` is a key of the texts, `shown` are the fields of that text."""

    def __init__(self, why: str, **shown: object) -> None:
        super().__init__(why)
        self.why = why
        self.shown = shown


def shown(text: str | bytes) -> str:
    """The beginning of what a server sent, in quotes, and with its unprintable characters escaped."""
    found = repr(text[:SHOWN])
    return found if len(text) <= SHOWN else f"{found}…"


def _cut(text: str) -> str:
    """The beginning of what should be short; reports make it legible."""
    return text[: 2 * SHOWN]


def why_not_opened(error: Exception, address: str) -> NotOpened:
    """Why this error came instead of a connection to an address."""
    chain = list(_chain(error))
    for each in chain:
        match each:
            case NotOpened():
                return each
            case InvalidStatus(response=response):
                status, to = response.status_code, response.headers.get_all("Location")
                if status in _REDIRECTS and to:
                    return NotOpened("redirect", more=str(status), to=_target(address, to[0]))
                return NotOpened(_of_status(status), more=str(status))
            case ssl.SSLCertVerificationError():
                why = _CERTIFICATES.get(each.verify_code, "certificate")
                return NotOpened(why, more=each.verify_message.rstrip("."))
            case ssl.SSLError(reason=reason):
                why = "is_plain" if reason == "WRONG_VERSION_NUMBER" else "tls_fails"
                return NotOpened(why, more=reason or "EOF")
            case InvalidHeader(name="Sec-WebSocket-Accept", value=str(value)):
                return NotOpened("wrong_accept", more=shown(value))
            case InvalidHeader(name=name, value=value):
                return NotOpened("wrong_header", more=_cut(f"{name}: {value}" if value else name))
            case NegotiationError():
                name = "Extensions" if "extension" in str(each).lower() else "Protocol"
                return NotOpened("not_offered", more=f"Sec-WebSocket-{name}")
            case socket.gaierror() | UnicodeError():
                return NotOpened("no_address", more=urlsplit(address).hostname or "")
    return _why_no_answer(chain)


def _why_no_answer(chain: list[BaseException]) -> NotOpened:
    """The same for what the library does not tell apart: where there is no answer, or not one of HTTP/1.1."""
    error, last = chain[0], chain[-1]
    if isinstance(error, TimeoutError) and not error.errno:  # else it is one of the socket
        return NotOpened("silent")
    if any(isinstance(each, EOFError | ConnectionResetError | BrokenPipeError) for each in chain):
        return NotOpened("line_ends" if "without CRLF" in str(last) else "closes")
    if isinstance(error, OSError):
        return NotOpened(_of_socket(error), more=error.strerror or str(error))
    words = str(last)
    if "HTTP/1.0" in words:
        return NotOpened("http_1_0")
    if words.startswith("invalid HTTP header"):
        return NotOpened("wrong_header", more=_cut(words.rpartition(": ")[2]))
    return NotOpened("not_http", more=shown(words.rpartition(": ")[2]))


def _of_socket(error: OSError) -> str:
    if limit_of(error):
        return "own_limit"
    return "unreachable" if error.errno in _FAR else "nobody"


def _of_status(status: int) -> str:
    if status in (401, 403, 407):
        return "forbidden"
    return "fails" if status >= 500 else "plain_http"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _target(address: str, to: str) -> str:
    """Where a redirect leads, as an address of a WebSocket, without the user that was asked for."""
    try:
        parts = urlsplit(urljoin(address, to))
    except ValueError:
        return _cut(to)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return _cut(without_user(urlunsplit((scheme, *parts[1:]))))


def violation_of(*errors: BaseException | None) -> tuple[str, str]:
    """Which rule of RFC 6455 a server broke, by the errors that ended a connection, and what shows it.

    Both are empty if none of them says so.
    """
    for error in errors:
        match error:
            case ProtocolError():
                return _VIOLATIONS.get(str(error), "other"), ""
            case UnicodeDecodeError():
                around = error.object[max(error.start - _AROUND, 0) : error.start + _AROUND]
                return "not_utf8", shown(bytes(around))
            case PayloadTooBig():
                return "too_large", ""
            case TooManyFragments():
                return "fragments", ""
            case WebSocketException():
                return "other", ""
    return "", ""
