"""Runs the walkthroughs and stores what they show: `python notebooks/run.py [NAME …] [--check] [--measure]`.

A `.py` file is the source of a notebook in each language (see `harness/notebooks/sources.py`). Two runs
give the same bytes. What is measured (cells with the tag `measured`) cannot be the same twice: those cells
are run, and the outputs that are stored stay, unless `--measure` asks for new ones. Cells that check the
reader's own component (`own`) are not run.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib.util
import itertools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import click

from harness.notebooks.pictures import Draw, NoBrowser, drawing, pictures_in, store_pictures, without_pictures
from harness.notebooks.sources import LANGUAGE_INFO, BadTranslation, Notebook, file_name, from_source
from harness.texts import LANGUAGES

HERE = Path(__file__).resolve().parent
NAMES = ("ex1_chat", "ex2_ordering", "ex3_presence", "ex4_persistence", "find_the_bug", "two_clocks", "load")
CELL_SECONDS = 180
"""Seconds that one cell may take."""
SOCKET_PATH = 95
"""Bytes that the path of a socket may have, on every system, with something to spare for what is added."""
DIFF_LINES = 12
"""Lines of a difference that are shown for each notebook."""
MISSING = "Jupyter is not installed, and notebooks need it: pip install 'chat-lab[notebooks]'"


class CellFailed(Exception):  # noqa: N818 - named for what it says
    """A cell raised an exception, or took too long; the text tells which, and why."""


def execute(notebook: Notebook) -> None:
    """Run all cells, in a kernel that leaves nothing behind. Raises CellFailed."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from traitlets.config import Config

    with tempfile.TemporaryDirectory(prefix="chatlab-notebook-") as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            record_timing=False,
            skip_cells_with_tag="own",  # they look at what the reader has written
            coalesce_streams=True,
            resources={"metadata": {"path": str(HERE)}},
            config=Config(KernelManager=_private_sockets(Path(folder))),
        )
        try:
            env = {**os.environ, "TMPDIR": folder, "IPYTHONDIR": folder, "NO_COLOR": "1"}
            with (Path(folder) / "kernel.txt").open("w") as output:  # what it complains of when it is ended
                _to_its_end(client.async_execute(env=env, stdout=output, stderr=output))
        except CellExecutionError as error:
            raise CellFailed(f"{error.ename}: {error.evalue}") from error
        except CellTimeoutError as error:
            raise CellFailed(f"a cell took longer than {CELL_SECONDS} s") from error
        except (DeadKernelError, RuntimeError) as error:
            raise CellFailed(f"the kernel ended, or did not start ({error})") from error
    notebook.metadata["language_info"] = dict(LANGUAGE_INFO)  # the kernel has noted which Python this one is


def _to_its_end(work: Coroutine[Any, Any, object]) -> None:
    """Run `work`; Ctrl-C cancels it, and waits until it has cleaned up.

    It runs in a thread, because in the main thread `nbclient` takes Ctrl-C for itself, and stumbles over it.
    """
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(task)
        finally:
            left = asyncio.all_tasks(loop)
            for each in left:
                each.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(run)
        try:
            done.result()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)
            wait([done])
            raise
        finally:
            loop.close()


def _private_sockets(folder: Path) -> dict[str, str]:
    """How to speak to the kernel: by files of our own, where there can be any, so that nobody else can."""
    address = str(folder / "kernel")
    possible = sys.platform != "win32" and len(address.encode()) < SOCKET_PATH
    return {"transport": "ipc", "ip": address} if possible else {}


def stored(file: Path) -> Notebook | None:
    """A notebook as it is stored; None if there is none that can be read."""
    import nbformat

    try:
        return nbformat.read(file, as_version=4)
    except (OSError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None


def keep_measured(notebook: Notebook, old: Notebook | None) -> None:
    """Put the stored outputs of measured cells into a new notebook, where the cell's source is the same."""
    measured = [cell for cell in (old.cells if old else []) if has_tag(cell, "measured")]
    kept = {cell.source: cell.outputs for cell in measured}
    for cell in notebook.cells:
        if has_tag(cell, "measured"):
            cell.outputs = kept.get(cell.source, cell.outputs)


def has_tag(cell: Notebook, tag: str) -> bool:
    """Whether it is a cell of code with this tag."""
    return cell.cell_type == "code" and tag in cell.metadata.get("tags", [])


def written(notebook: Notebook) -> str:
    """A notebook as the text of its file."""
    import nbformat

    return str(nbformat.writes(notebook)) + "\n"


def differences(old: str, new: str) -> list[str]:
    """The first lines that differ, each cut short."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "stored", "now", n=0, lineterm="")
    return [line[:160] for line in list(lines)[:DIFF_LINES]]


def run(name: str, language: str, draw: Draw, *, check: bool, measure: bool) -> list[str]:
    """Run one notebook; write it, or (with `check`) return how it differs from what is stored."""
    path = HERE / file_name(name, language)
    notebook, old = from_source(HERE / f"{name}.py", language), stored(path)
    execute(notebook)
    if not measure:
        keep_measured(notebook, old)
    if not check:
        store_pictures(notebook, pictures_in(old) if old else {}, draw)
        path.write_text(written(notebook), encoding="utf-8")
        return []
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    return differences(without_pictures(before), without_pictures(written(notebook)))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[NAME …]", nargs=-1, type=click.Choice(NAMES))
@click.option("--check", is_flag=True, help="Write nothing; fail where outputs are not those stored.")
@click.option("--measure", is_flag=True, help="Store new outputs of the cells that measure, too.")
@click.option("--lang", type=click.Choice(LANGUAGES), help="In this language only.")
def main(names: tuple[str, ...], check: bool, measure: bool, lang: str | None) -> int:
    """Run the walkthroughs (all, unless some are named) and store their outputs.

    Exit codes: 0 done, 1 a cell failed or outputs differ, 64 wrong usage.
    """
    failed = False
    with drawing() as draw:
        for name, language in itertools.product(names or NAMES, [lang] if lang else LANGUAGES):
            click.echo(f"{file_name(name, language):<24} runs … ", nl=False)
            began = time.monotonic()
            try:
                differ = run(name, language, draw, check=check, measure=measure and not check)
            except (CellFailed, NoBrowser, BadTranslation) as error:
                click.echo(f"failed\n  {error}")
                failed = True
                continue
            outcome = "differs" if differ else "same" if check else "stored"
            click.echo(f"{outcome}, {time.monotonic() - began:.1f} s")
            for line in differ:
                click.echo(f"  {line}")
            failed |= bool(differ)
    return int(failed)


def start() -> int:
    """The exit code of the command; says in one sentence what is missing or wrong."""
    if any(importlib.util.find_spec(needed) is None for needed in ("jupytext", "nbclient", "ipykernel")):
        click.echo(MISSING, err=True)
        return 64
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up, as for Ctrl-C
    try:
        return int(main(standalone_mode=False))
    except click.UsageError as error:
        error.show()
        return 64
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130


if __name__ == "__main__":
    sys.exit(start())
