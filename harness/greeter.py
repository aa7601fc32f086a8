"""Sends a welcome message to some rooms of a running server, so that a new deployment has rooms to show.

`python -m harness.greeter ws://127.0.0.1:8080/ general=Welcome!` sends one message to one room. The `id` of a
message is a hash of its text, so that it is stored only once (rule R), however often this runs.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

import click
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from harness.judged.targets import as_user
from harness.texts.console import echo
from lab.command import run_command

USER = "guide"
PATIENCE = 10.0
"""Seconds to wait for the server's next answer."""


class Refused(Exception):  # noqa: N818 - named for what it says
    """The server did not accept a welcome; the text is its answer."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url")
@click.argument("welcomes", metavar="ROOM=WORDS...", nargs=-1, required=True)
def greet(url: str, welcomes: tuple[str, ...]) -> None:
    """Say WORDS in each ROOM of the chat server at URL, unless they were said there before."""
    said = [split(each) for each in welcomes]
    try:
        with connect(as_user(url, USER), compression=None, proxy=None, open_timeout=PATIENCE) as server:
            for room, words in said:
                echo(f"{room} #{welcome(server, room, words)}: {words}")
    except InvalidURI as error:
        raise click.UsageError(
            f"{url!r} is no address of a WebSocket, such as ws://127.0.0.1:8080/"
        ) from error
    except Refused as error:
        raise click.ClickException(f"the server at {url} did not accept a welcome: {error}") from error
    except ConnectionClosed as error:
        raise click.ClickException(f"the server at {url} closed the connection: {error}") from error
    except TimeoutError as error:
        raise click.ClickException(f"the server at {url} did not answer within {PATIENCE:g} s") from error
    except (OSError, WebSocketException) as error:
        raise click.ClickException(f"no chat server answers at {url}: {error}. Start it first.") from error


def split(welcome: str) -> tuple[str, str]:
    """Room and words of `ROOM=WORDS`. Raises click.UsageError if it does not have this form."""
    room, _, words = welcome.partition("=")
    if not room or not words:
        raise click.UsageError(f"{welcome!r}: write ROOM=WORDS, such as general=Welcome!")
    return room, words


def welcome(server: ClientConnection, room: str, words: str) -> int:
    """Join `room` and say `words` in it; return the message's sequence number. Raises Refused."""
    id = uuid.uuid5(uuid.NAMESPACE_URL, words).hex
    server.send(json.dumps({"type": "join", "room": room}))
    server.send(json.dumps({"type": "message", "data": {"room": room, "content": words, "id": id}}))
    deadline = time.monotonic() + PATIENCE
    while True:
        frame: dict[str, Any] = json.loads(server.recv(timeout=max(0.0, deadline - time.monotonic())))
        data = frame.get("data", {})
        if frame["type"] == "error":
            raise Refused(f"{room}: {data.get('message')}")
        if frame["type"] == "message" and data.get("id") == id:
            return int(data["sequence"])


if __name__ == "__main__":
    sys.exit(run_command(greet, "python -m harness.greeter"))
