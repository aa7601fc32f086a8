from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from websockets.asyncio.client import connect

import lab
from lab.command import load_components, run_command, serve
from lab.hub import Components
from tests.lab.helpers import PATIENCE

ROOT = Path(lab.__file__).parent.parent
SETTINGS = ["HOST", "PORT", "DATA_DIR", "HEARTBEAT_INTERVAL", "OFFLINE_TIMEOUT", "LOG_LEVEL"]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in SETTINGS}

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs `python -m lab` with arguments in this process;
    returns its exit code and what it wrote to stderr.
    """
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    library = logging.getLogger("websockets.server")
    filters, modules, path = list(library.filters), set(sys.modules), list(sys.path)
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lab", *arguments])
        return run_command(serve, "python -m lab"), capsys.readouterr().err

    yield run
    library.filters[:], sys.path[:] = filters, path
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)
    for name in set(sys.modules) - modules:
        if name.startswith("component_"):
            del sys.modules[name]


@pytest.fixture
def taken_port() -> Iterator[str]:
    """A port on which another socket listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield str(other.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "x"], "Invalid value for '--port'"),
        (["--port", "70000"], "70000 is not in the range 0<=x<=65535"),
        (["--heartbeat-interval", "0"], "'0' is not a number of seconds above 0, such as 30 or 0.5"),
        (["--heartbeat-interval", "-1"], "'-1' is not a number of seconds above 0"),
        (["--offline-timeout", "soon"], "'soon' is not a number of seconds above 0"),
        (["--offline-timeout", "nan"], "'nan' is not a number of seconds above 0"),
        (["--offline-timeout", "inf"], "'inf' is not a number of seconds above 0"),
        (["--log-level", "loud"], "'loud' is not one of 'debug', 'info', 'warning'"),
        (["--rooms", "general,a/b"], "'a/b' is not the name of a room, such as general or café"),
        (["--hots", "localhost"], "No such option"),
        (["8080"], "unexpected extra argument"),
    ],
)
def test_bad_options_are_usage_errors(command: Run, arguments: list[str], sentence: str) -> None:
    """A bad option ends the program with 64 and a sentence about it, before anything is done."""
    code, said = command(*arguments)
    assert code == 64
    assert sentence in said
    assert "Traceback" not in said
    assert not Path("data").exists()


def test_the_environment_sets_the_options(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable works like its option, and its errors name the variable."""
    monkeypatch.setenv("OFFLINE_TIMEOUT", "never")
    code, said = command()
    assert code == 64
    assert "OFFLINE_TIMEOUT" in said
    assert "'never' is not a number of seconds" in said


@pytest.mark.parametrize(
    ("variable", "value", "option"),
    [
        ("PORT", "tcp://10.0.0.7:8080", "--port"),
        ("PORT", "eighty", "--port"),
        ("HOST", "x86_64-conda-linux-gnu", "--host"),
        ("LOG_LEVEL", "trace", "--log-level"),
        ("HEARTBEAT_INTERVAL", "nan", "--heartbeat-interval"),
        ("MAX_FRAME", "1", "--max-frame"),
        ("MAX_CONNECTIONS", "many\x1b[2J", "--max-connections"),
    ],
)
def test_a_variable_with_an_odd_value_is_named(
    command: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, option: str
) -> None:
    """Other programs set these, too: the message says which it is, what it holds, and what to do."""
    monkeypatch.setenv(variable, value)
    code, said = command(*(["--port", "0"] if variable == "HOST" else []))
    assert code == (1 if variable == "HOST" else 64)
    assert f"{variable} in the environment is {value!r}: unset it, or give {option}." in " ".join(
        said.split()
    )
    assert "\x1b" not in said
    _, said = command(option, value, *(["--port", "0"] if variable == "HOST" else []))
    assert "in the environment" not in said


@pytest.mark.parametrize("value", ["INFO", "Warning", "error", ""])
def test_levels_in_upper_case(
    command: Run, monkeypatch: pytest.MonkeyPatch, taken_port: str, value: str
) -> None:
    """`LOG_LEVEL=INFO` is as good as `info`; a variable that is empty is as good as none."""
    for name in (*SETTINGS, "ACCESS_KEY", "MAX_RATE", "ORIGIN"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("LOG_LEVEL", value)
    code, said = command("--port", taken_port)
    assert (code, "another program does" in said) == (1, True)


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        ("my/store.py", "write COMPONENT=WHERE, such as store=my/store.py"),
        ("store=", "write COMPONENT=WHERE, such as store=my/store.py"),
        ("storage=my/store.py", "the components are pubsub, sequencer, presence, store"),
    ],
)
def test_bad_uses_are_usage_errors(command: Run, use: str, sentence: str) -> None:
    """A `--use` that names no component, or no place, ends the program with 64 and says how it is written."""
    code, said = command("--port", "0", "--use", use)
    assert (code, sentence in said, "command.py" in said) == (64, True, False)


def test_a_port_that_is_taken(command: Run, taken_port: str) -> None:
    """If the port is taken the program says so, and what to do, and ends with 1."""
    code, said = command("--port", taken_port)
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{taken_port}: another program does. Stop it, or choose" in said
    assert "warning" not in said


def test_an_address_that_is_not_ours(command: Run) -> None:
    """If the address cannot be listened on, the program names it and the options, and ends with 1."""
    code, said = command("--host", "192.0.2.1", "--port", "0")
    assert code == 1
    assert re.search(r"cannot listen on 192\.0\.2\.1:0: .+ Check --host and --port\.", said)


@pytest.mark.parametrize("host", ["..", "x" * 64 + ".example"])
def test_an_impossible_address(command: Run, host: str) -> None:
    """A host name that is not even valid is reported like any other that cannot be listened on."""
    try:
        code, said = command("--host", host, "--port", "0")
    except UnicodeError:
        pytest.fail("the error is not caught")
    assert code == 1
    assert "--host" in said


def test_intervals_that_do_not_fit_cause_a_warning(command: Run, taken_port: str) -> None:
    """Heartbeats less frequent than the timeout are allowed, with a warning of the effect."""
    code, said = command("--port", taken_port, "--heartbeat-interval", "5", "--offline-timeout", "2.5")
    assert code == 1
    assert "warning: with a heartbeat every 5 s and an offline timeout of 2.5 s" in said


def _file_in_the_way() -> None:
    Path("mine").write_text("a file")


def _another_program() -> None:
    Path("mine").mkdir()
    with contextlib.closing(sqlite3.connect("mine/messages.db")) as db:
        db.execute("CREATE TABLE notes (a)")


def _garbage() -> None:
    Path("mine").mkdir()
    Path("mine/messages.db").write_bytes(b"SQLite format 4" * 500)


def _folder_in_the_way() -> None:
    Path("mine/messages.db").mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_file_in_the_way, "a file is in the way ("),
        (_another_program, "the file is another program's. Choose another --data-dir"),
        (
            _garbage,
            "the file is damaged (file is not a database). Keep a copy, and start with another --data",
        ),
        (
            _folder_in_the_way,
            "it cannot be written (unable to open database file). Check who owns the folder",
        ),
    ],
)
def test_a_folder_that_cannot_be_used(command: Run, spoil: Callable[[], None], sentence: str) -> None:
    """The program prints the store's message about its folder, in one line, and ends with 1."""
    spoil()
    code, said = command("--port", "0", "--data-dir", "mine")
    assert code == 1
    assert said.startswith(f"Error: cannot keep messages in mine/messages.db: {sentence}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (None, "there is no file mine.py"),
        ("class Store: ...", "mine.py has no class `MessageStore`; did you mean"),
        ("import lab.store", "mine.py, line 1 takes its component from `lab.store`: write your own"),
        (
            "class MessageStore:\n    def __init__(self, data_dir):\n        self.x = data_dir['x']\n",
            "mine.py, line 3: TypeError: 'PosixPath' object is not subscriptable\n    self.x = data_dir['x']",
        ),
        pytest.param(
            "class MessageStore:\n    def __init__(self, data_dir):\n        open(data_dir / 'index')\n",
            "mine.py, line 3: FileNotFoundError",
        ),
    ],
    ids=["missing", "class", "import", "TypeError", "OSError"],
)
def test_a_component_that_cannot_be_used(command: Run, body: str | None, sentence: str) -> None:
    """An error of a component is reported in a sentence with its place, and the program ends with 1."""
    if body is not None:
        rest = (
            "".join(f"    async def {name}: ...\n" for name in STORE_METHODS) + "    def close(self): ...\n"
        )
        Path("mine.py").write_text(body + (rest if "__init__" in body else ""))
    code, said = command("--port", "0", "--use", "store=mine.py")
    assert code == 1
    assert sentence in said
    assert "Traceback" not in said


def test_the_component_that_fails_is_the_one_that_is_named(command: Run, tmp_path: Path) -> None:
    """Of several components, in folders of their own, the text names the one that the error comes from."""
    for name in ("pubsub", "presence"):
        (tmp_path / name).mkdir()
        source = (ROOT / "lab" / f"{name}.py").read_text(encoding="utf-8")
        if name == "presence":
            source = source.replace(
                "        self._offline_after =", "        1 / 0\n        self._offline_after ="
            )
        (tmp_path / name / f"{name}.py").write_text(source, encoding="utf-8")
    code, said = command(
        "--port", "0", "--use", "pubsub=pubsub/pubsub.py", "--use", "presence=presence/presence.py"
    )
    assert code == 1
    assert re.search(r"presence/presence\.py, line \d+: ZeroDivisionError", said)


STORE_METHODS = [
    "save(self, messages)",
    "page(self, room, since, limit)",
    "newest(self, room, count)",
    "last(self, room)",
    "find(self, room, user, id)",
]


def test_components_are_replaced_one_by_one(command: Run, tmp_path: Path) -> None:
    """A component given with `--use` replaces ours, and the others stay ours."""
    source = (ROOT / "lab" / "pubsub.py").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    components, ours = load_components(["pubsub=mine.py"]), Components()
    assert components.pubsub is not ours.pubsub
    assert components.pubsub.__module__ == "component_pubsub"
    components.pubsub = ours.pubsub
    assert components == ours


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (lambda: None, 0),
        (lambda: 3, 3),
        (lambda: "done", 0),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
        (click.UsageError("no"), 64),
        (click.ClickException("no"), 1),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, ends: Callable[[], object] | BaseException, code: int
) -> None:
    """A command that returns, fails, is misused or is interrupted ends with the code that says so."""

    def body() -> object:
        if isinstance(ends, BaseException):
            raise ends
        return ends()

    monkeypatch.setattr(sys, "argv", ["it"])
    assert run_command(click.Command("it", callback=body), "it") == code


# --- as a process ---------------------------------------------------------------------------------


def shell(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m` with arguments in a folder, to its end."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


RESPONSIVE = """
import gc, sys
from lab.command import _stay_responsive
from lab.presence import PresenceManager

_stay_responsive()
manager = PresenceManager(30.0, 60.0)
for number in range(1000):
    manager.connected(str(number), str(number), 0.0)
    manager.joined(str(number), "r", 0.0)
before = gc.get_stats()[2]["collections"]
for _ in range(500):
    answer = manager.in_room("r", 1.0)
print(gc.get_stats()[2]["collections"] - before, sys.getswitchinterval())
"""


def test_python_holds_up_the_server_seldom(tmp_path: Path) -> None:
    """However often the presence of a full room is asked for, that causes no full collection of garbage (with
    Python's defaults, four), and a thread that wants the interpreter has it within a millisecond.
    """
    (tmp_path / "responsive.py").write_text(RESPONSIVE)
    full_collections, interval = shell(tmp_path, "responsive").stdout.split()
    assert int(full_collections) == 0
    assert float(interval) < 0.001


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server as a process, and the address that it says it listens on."""
    with subprocess.Popen(
        [sys.executable, "-m", "lab", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.match(r"listening on (ws://127\.0\.0\.1:\d+/) with data in ", line)
            assert found, line
            yield process, found[1]
        finally:
            process.kill()


@pytest.mark.live
def test_help_and_usage_from_a_shell(tmp_path: Path) -> None:
    """`--help` lists each option with its variable and ends with 0; a bad one ends with 64, no traceback."""
    shown = shell(tmp_path, "lab", "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    for name in SETTINGS:
        assert f"--{name.lower().replace('_', '-')}" in shown.stdout
        assert name in shown.stdout
    refused = shell(tmp_path, "lab", PORT="eighty")
    assert (refused.returncode, refused.stdout) == (64, "")
    assert "'eighty' is not a valid integer" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.live
def test_the_schema_from_a_shell(tmp_path: Path) -> None:
    """`python -m lab.protocol` prints all frames as a JSON Schema."""
    printed = shell(tmp_path, "lab.protocol")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert {"client", "server"} <= set(json.loads(printed.stdout)["$defs"])


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end the server with 0; its clients get 1001; there is no traceback."""
    with started(tmp_path, PORT="0", DATA_DIR="mine", HEARTBEAT_INTERVAL="0.5") as (process, url):
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].rstrip("/")))
        writer.write(b"neither HTTP nor WebSocket\r\n\r\n")
        async with connect(url + "?user=ada", compression=None, proxy=None) as client:
            greeting = json.loads(await asyncio.wait_for(client.recv(), PATIENCE))
            assert greeting["data"]["heartbeatInterval"] == 0.5
            await client.send('{"type": "join", "room": "r"}')
            await client.send('{"type": "message", "data": {"room": "r", "content": "hi"}}')
            while '"hi"' not in str(await asyncio.wait_for(client.recv(), PATIENCE)):
                pass
            process.send_signal(number)
            await asyncio.wait_for(client.wait_closed(), PATIENCE)
            assert client.close_code == 1001
        writer.close()
        _, said = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        assert process.returncode == 0
        assert "connected user=ada" in said
        assert "stopped after 1 messages" in said
        assert "Traceback" not in said
        assert "websockets" not in said, "what its library thinks is not the server's log"
    assert sorted(each.name for each in (tmp_path / "mine").iterdir()) == ["messages.db", "messages.lock"]


@pytest.mark.live
async def test_what_was_received_survives_a_kill(tmp_path: Path) -> None:
    """Messages that a client has received are there after SIGKILL and a restart, each unchanged."""
    received: list[dict[str, object]] = []
    for _ in range(2):
        with started(tmp_path, "--port", "0") as (process, url):
            async with connect(url + "?user=ada", compression=None, proxy=None) as client:
                await client.send('{"type": "join", "room": "r", "since": 0}')
                replay: list[dict[str, object]] = []
                for number in range(30):
                    data = {"room": "r", "content": f"{len(received)} {number}"}
                    await client.send(json.dumps({"type": "message", "data": data}))
                live: list[dict[str, object]] = []
                while len(live) < 20:
                    frame = json.loads(await asyncio.wait_for(client.recv(), PATIENCE))
                    if frame["type"] == "history":
                        replay += frame["data"]["messages"]
                    elif frame["type"] == "message" and frame["data"]["user"] == "ada":
                        live.append(frame["data"])
                process.kill()
        assert replay[: len(received)] == received
        received = replay + live
    assert [each["sequence"] for each in received] == list(range(1, len(received) + 1))
