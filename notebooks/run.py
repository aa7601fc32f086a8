"""Runs the walkthroughs and stores what they show: `python notebooks/run.py [NAME …] [--check] [--measure]`.

The `.py` half of each pair is the source; the `.ipynb` half is made from it, with the outputs. Two runs give
the same bytes. What is measured (cells with the tag `measured`) cannot be the same twice: those cells are
run, and the outputs that are stored stay, unless `--measure` asks for new ones.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib.util
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

HERE = Path(__file__).resolve().parent
NAMES = ("ex1_chat", "ex2_ordering", "ex3_presence", "ex4_persistence", "load")
CELL_SECONDS = 180
"""Seconds that one cell may take."""
SOCKET_PATH = 95
"""Bytes that the path of a socket may have, on every system, with something to spare for what is added."""
DIFF_LINES = 12
"""Lines of a difference that are shown for each notebook."""
MISSING = "Jupyter is not installed, and notebooks need it: pip install 'chat-lab[notebooks]'"

Notebook = Any
"""An `nbformat` notebook; the extra may be missing, so its type is not named here."""


LANGUAGE = {"name": "python"}
"""What a notebook says of the language: the same on every machine."""


class CellFailed(Exception):  # noqa: N818 - named for what it says
    """A cell raised an exception, or took too long; the text tells which, and why."""


def from_source(name: str) -> Notebook:
    """The notebook that the `.py` half describes, without outputs; its cells are named by their position."""
    import jupytext

    notebook = jupytext.read(HERE / f"{name}.py", fmt="py:percent")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": dict(LANGUAGE),
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
    return notebook


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
    notebook.metadata["language_info"] = dict(LANGUAGE)  # the kernel has noted which Python this one is


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


def stored(name: str) -> Notebook | None:
    """The `.ipynb` half as it is stored; None if there is none that can be read."""
    import nbformat

    try:
        return nbformat.read(HERE / f"{name}.ipynb", as_version=4)
    except (OSError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None


def keep_measured(notebook: Notebook, old: Notebook | None) -> None:
    """Put the stored outputs of measured cells into a new notebook, where the cell's source is the same."""
    kept = {cell.source: cell.outputs for cell in (old.cells if old else []) if is_measured(cell)}
    for cell in notebook.cells:
        if is_measured(cell):
            cell.outputs = kept.get(cell.source, cell.outputs)


def is_measured(cell: Notebook) -> bool:
    """Whether a cell shows something that is measured."""
    return cell.cell_type == "code" and "measured" in cell.metadata.get("tags", [])


def written(notebook: Notebook) -> str:
    """A notebook as the text of its file."""
    import nbformat

    return str(nbformat.writes(notebook)) + "\n"


def differences(old: str, new: str) -> list[str]:
    """The first lines that differ, each cut short."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "stored", "now", n=0, lineterm="")
    return [line[:160] for line in list(lines)[:DIFF_LINES]]


def run(name: str, *, check: bool, measure: bool) -> list[str]:
    """Run one notebook; write it, or (with `check`) return how it differs from what is stored."""
    notebook, old = from_source(name), stored(name)
    execute(notebook)
    if not measure:
        keep_measured(notebook, old)
    path, text = HERE / f"{name}.ipynb", written(notebook)
    if not check:
        path.write_text(text, encoding="utf-8")
        return []
    return differences(path.read_text(encoding="utf-8") if path.is_file() else "", text)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[NAME …]", nargs=-1, type=click.Choice(NAMES))
@click.option("--check", is_flag=True, help="Write nothing; fail where outputs are not those stored.")
@click.option("--measure", is_flag=True, help="Store new outputs of the cells that measure, too.")
def main(names: tuple[str, ...], check: bool, measure: bool) -> int:
    """Run the walkthroughs (all, unless some are named) and store their outputs.

    Exit codes: 0 done, 1 a cell failed or outputs differ, 64 wrong usage.
    """
    failed = False
    for name in names or NAMES:
        click.echo(f"{name:<16} runs … ", nl=False)
        began = time.monotonic()
        try:
            differ = run(name, check=check, measure=measure and not check)
        except CellFailed as error:
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
