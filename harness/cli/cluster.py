"""`chatlab cluster`: several servers that share their rooms, on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from harness.cli import options
from harness.cli.usage import told
from harness.cluster.problems import ClusterProblem
from harness.texts import texts


@click.command()
@click.option("--nodes", type=click.IntRange(1, 16), default=2, show_default=True, help="Chat servers.")
@click.option(
    "--nats",
    type=click.Choice(["3", "5"]),
    default="3",
    show_default=True,
    help="NATS nodes below them.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_500),
    default=8080,
    show_default=True,
    help="Port of the first server; the others have the next ones.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False, writable=True),
    help="Keep the messages in this folder, for the next call.  [default: they are gone at the end]",
)
@options.language
def cluster(nodes: int, nats: str, port: int, data_dir: Path | None, lang: str) -> int:
    """Run several servers that share their rooms, until Ctrl-C.

    All of them are on this machine, and so are the NATS nodes below them. For a demonstration: open the page
    of each server in a browser, and chat from one to the other.
    """
    # Imported late: `chatlab --help` and wrong usage need none of it.
    from harness.cluster.demonstration import Demonstration, demonstrate
    from harness.cluster.nats_node import nats_server

    try:
        nats_server()
        return asyncio.run(demonstrate(Demonstration(nodes, int(nats), port, data_dir), texts(lang)))
    except ClusterProblem as error:
        raise told(error) from error
