"""A copy of all messages, as they were at one moment, also while a server runs and saves more.

`chatlab backup` and `python -m lab.backup` are the same. SQLite does the work: what one transaction reads is
one state of the file, and in write-ahead mode readers and the writer do not wait for each other.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path

import click

from lab.command import run_command
from lab.interfaces import StoreError
from lab.store import FILE, explained
from lab.system import sync


def back_up(data_dir: Path, target: Path) -> tuple[int, int]:
    """Copy the messages in `data_dir` into the new folder `target`; returns how many messages and rooms.

    A server that is given `target` as its --data-dir goes on from there. Raises StoreError, and then there is
    no copy.
    """
    source, copy = data_dir / FILE, target / FILE
    if not source.is_file():
        raise StoreError(f"there is no {source}. Name the folder that the server has as its --data-dir")
    if copy.exists():
        raise StoreError(f"there is a {copy} already. Name another folder, or one that does not exist yet")
    partial = copy.with_suffix(".part")
    try:
        target.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)) as db:
            db.execute("VACUUM INTO ?", (str(partial),))
        counted = _check(partial)
        sync(partial)
        partial.rename(copy)
        sync(target)
    except (OSError, sqlite3.DatabaseError) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StoreError(f"could not copy {source} to {copy}: {explained(error, source)}") from error
    return counted


def _check(copy: Path) -> tuple[int, int]:
    """Read all of the copy; how many messages and rooms. Raises sqlite3.DatabaseError if it is damaged."""
    with closing(sqlite3.connect(copy)) as db:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        messages, rooms = db.execute("SELECT count(*), count(DISTINCT room) FROM messages").fetchone()
        return int(messages), int(rooms)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("data_dir", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def backup(data_dir: Path, target: Path) -> None:
    """Copy all messages of DATA_DIR into the new folder TARGET.

    A server may run meanwhile. To go back to the copy, stop the server and start it with --data-dir TARGET.
    """
    try:
        messages, rooms = back_up(data_dir, target)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{messages:,} messages of {rooms:,} rooms are in {target / FILE}")


if __name__ == "__main__":
    sys.exit(run_command(backup, "python -m lab.backup"))
