"""The write-ahead log of a SQLite file: whether it holds more than SQLite can read.

SQLite reads the log up to the first frame whose checksum is wrong. That is right where a process was killed
while it wrote the last one. But if a byte in the middle was changed, by a faulty disk say, all that follows
is cut off as well, and nothing tells.

A log is a header of 32 bytes and then *frames*: each is a header of 24 bytes and a page of the file. Two
*salts* in all headers change whenever SQLite begins the log anew. The last frame of a transaction says how
many pages the file then has; in the others that number is 0.
(https://www.sqlite.org/fileformat2.html#walformat)
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path

log = logging.getLogger("lab.journal")

_HEADER = struct.Struct(">8I")  # magic number, version, page size, sequence, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page number, size of the file or 0, two salts, two checksums
_MAGIC = (0x377F0682, 0x377F0683)


def keep_if_damaged(database: Path) -> None:
    """If the log of `database` goes on behind a damaged place, keep a copy of it, and log a warning.

    To be called before the file is opened to write, since SQLite then goes on over what it could not read.
    Errors are left to whoever does that.
    """
    journal = database.with_name(f"{database.name}-wal")
    if not database.exists() or not journal.exists():
        return
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=0)) as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchall()  # this makes SQLite read the log
            (page,) = db.execute("PRAGMA page_size").fetchone()
            lost = transactions_after(journal, page, _frames_read(database))
        if not lost:
            return
        copy = journal.with_name(f"{journal.name}.damaged-{time.time_ns()}")
        shutil.copyfile(journal, copy)
    except (OSError, sqlite3.DatabaseError):
        return
    log.warning(
        "the journal of %s is damaged. Its last %d transactions cannot be read, and the numbers of their "
        "messages will be given again. A copy of the journal is in %s",
        *(database, lost, copy),
    )


def _frames_read(database: Path) -> int:
    """How many frames of the log SQLite has read. It notes that in the log's index, a file of its own."""
    with database.with_name(f"{database.name}-shm").open("rb") as index:
        return int(struct.unpack("=5I", index.read(20))[4])


def transactions_after(journal: Path, page: int, frames: int) -> int:
    """How many transactions ended in the log after its first `frames` frames; a page has so many bytes.

    Raises OSError.
    """
    size_of_frame = _FRAME.size + page
    end = journal.stat().st_size - size_of_frame + 1
    with journal.open("rb") as file:
        header = file.read(_HEADER.size)
        first = file.read(_FRAME.size)
        if len(first) < _FRAME.size:
            return 0
        # If the log's own header is damaged, SQLite has read nothing. Then the first frame tells the salts.
        salts = _HEADER.unpack(header)[4:6] if _is_whole(header) else _FRAME.unpack(first)[2:4]
        ended = 0
        for at in range(_HEADER.size + frames * size_of_frame, end, size_of_frame):
            file.seek(at)
            _, size, *own = _FRAME.unpack(file.read(_FRAME.size))[:4]
            ended += tuple(own) == salts and size > 0
        return ended


def _is_whole(header: bytes) -> bool:
    """Whether the checksum in the log's header is right. It is SQLite's own, over pairs of 32-bit numbers."""
    if _HEADER.unpack(header)[0] not in _MAGIC:
        return False
    order = ">" if header[3] & 1 else "<"  # the magic number says in which order their bytes are taken
    first = second = 0
    numbers = struct.unpack(f"{order}6I", header[:24])
    for even, odd in zip(numbers[::2], numbers[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return (first, second) == _HEADER.unpack(header)[6:]
