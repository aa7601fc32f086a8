"""What `chatlab` prints when something is wrong, its exit codes, and the form of its JSON."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.cli import main
from harness.judged.targets import find_folder
from harness.verdict.steps import POINTS, steps_of

CHATLAB = [sys.executable, "-P", "-m", "harness.cli.main"]


def chatlab(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, as a student does, for a minute at most."""
    return subprocess.run(
        [*CHATLAB, *arguments], capture_output=True, text=True, timeout=90, cwd=cwd, check=False
    )


def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, str]:
    """The exit code of a command, and what it prints to standard error; it is run in this process."""
    monkeypatch.setattr(sys, "argv", ["chatlab", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code, capsys.readouterr().err


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that a failure leaves are written to the test's own folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "9"], "9 is not in the range"),
        (["check", "--no-such-option"], "No such option"),
        (["check", "--solutions", "--reference"], "exclude each other"),
        (["check", "--together", "--reference"], "no meaning"),
        (["check", "--url", "http://127.0.0.1/"], "ws://"),
        (["check", "--submission", "no-such-folder"], "there is no folder no-such-folder"),
        (["check", "--server", ""], "the command is empty"),
        (["check", "--server", "node 'server.js"], "cannot be read"),
        (["check", "--json", "/no/such/folder/x.json"], "no such folder"),
        (["check", "--html", "/no/such/folder/x.html"], "no such folder"),
        (["check", "--html", "/"], "is a directory"),
        (["check", "--html", "-"], "this goes into a file"),
        (["check", "--lang", "de"], "'de'"),
        (["doctor"], "name one server"),
        (["doctor", "--reference", "--url", "ws://127.0.0.1/"], "name one server"),
        (["doctor", "--server-module", "no.py"], "no Python file no.py"),
        (["hint", "7"], "7 is not in the range"),
        (["serve", "--use", "sequencer"], "COMPONENT=WHERE"),
        (["serve", "--use", "brain=x.py"], "the components are"),
    ],
)
def test_wrong_usage_is_a_sentence(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage exits with 64 and says in a sentence what is wrong, without a traceback."""
    code, said = told(monkeypatch, capsys, *arguments)
    assert code == 64
    assert words in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "--solutions", "--reference"], "--solutions, --reference s’excluent mutuellement"),
        (["check", "--together", "--url", "ws://127.0.0.1/"], "n’a pas de sens avec --url"),
        (["check", "--url", "http://127.0.0.1/"], "n’est pas l’adresse d’un WebSocket"),
        (["check", "--submission", "nowhere"], "le dossier nowhere n’existe pas"),
        (["check", "--server", "node 'server.js"], "est illisible"),
        (["check", "--json", "/no/such/folder/x.json"], "le dossier où écrire ce fichier"),
        (["check", "--url", "ws://127.0.0.1/", "--world", "sim"], "démarre lui-même le serveur"),
        (["doctor"], "indiquez un seul serveur"),
        (["doctor", "--server-module", "no.py"], "le fichier Python no.py n’existe pas"),
        (["replay", "no.json"], "no.json est illisible"),
        (["load", "--time", "6q"], "n’est pas une durée"),
        (["grade", "nowhere"], "nommez celui qui contient les rendus"),
    ],
)
def test_wrong_usage_is_explained_in_french(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the option, wherever it stands in the command, or by the environment."""
    for more in (["--lang", "fr"], []):
        code, said = told(monkeypatch, capsys, *arguments, *more)
        assert code == 64
        assert words in said
        monkeypatch.setenv("CHATLAB_LANG", "fr")


def test_a_submission_without_a_component_names_the_file(tmp_path: Path) -> None:
    """A folder that lacks the file of the exercise is wrong usage, and the file is named."""
    done = chatlab("check", "2", "--submission", str(tmp_path))
    assert done.returncode == 64
    assert "ex2_ordering/sequencer.py" in done.stderr


def test_broken_submission_toml_is_explained(tmp_path: Path) -> None:
    """A submission.toml that cannot be read, or does not say `run`, is explained."""
    about = tmp_path / "submission.toml"
    about.write_text("run = ")
    assert "cannot be read" in chatlab("check", "1", "--submission", str(tmp_path)).stderr
    about.write_text('name = "ada"')
    assert "has no `run`" in chatlab("check", "1", "--submission", str(tmp_path)).stderr


def test_hints_say_more_and_more() -> None:
    """The first hint is shown alone and says how to get the next; the last is complete."""
    first, last = chatlab("hint", "2").stdout, chatlab("hint", "2", "--more", "3").stdout
    assert "2 of 3" in first
    assert " of 3" not in last
    assert "--more 2" in first
    assert first.count("\n") < last.count("\n")
    assert "3." in last


def test_hints_have_the_names_of_the_track() -> None:
    """Which a hint may be asked for as a check is."""
    asked = ("hint", "4", "--more", "2")
    assert "`data_dir`" in chatlab(*asked).stdout
    assert "`dataDir`" in chatlab(*asked, "--track", "typescript").stdout


def test_json_has_the_promised_form(tmp_path: Path) -> None:
    """The JSON report has the fixed keys, with a receipt for each step that passed."""
    report = tmp_path / "report.json"
    done = chatlab("check", "1", "--reference", "--seed", "5", "--json", str(report))
    assert done.returncode == 0, done.stdout
    value = json.loads(report.read_text())
    assert value["verdict"] == "passed"
    assert (value["seed"], value["world"], value["target"]) == (5, "live", "reference")
    assert value["runs"] == {"n": 1, "passed": 1, "failed": 0, "inconclusive": 0}
    assert [step["step"] for step in value["steps"]] == steps_of(1)
    for step in value["steps"]:
        assert (step["verdict"], step["points"], step["of"]) == (
            "passed", POINTS[step["step"]], POINTS[step["step"]],
        )  # fmt: skip
        assert step["receipt"]
        assert step["title"]
        assert step["notes"] == step["anomalies"] == []


def test_json_alone_on_standard_output(tmp_path: Path) -> None:
    """`--json -` prints the JSON and nothing else, with name, rule and evidence of each anomaly."""
    stub = shutil.copytree(find_folder("exercises"), tmp_path / "mine")
    done = chatlab("check", "1", "--submission", str(stub), "--json", "-", "--lang", "fr")
    assert done.returncode == 1
    value = json.loads(done.stdout)
    failed = next(step for step in value["steps"] if step["step"] == "1.4")
    first, *_ = failed["anomalies"]  # what direct calls have shown comes first
    assert (first["name"], first["rule"]) == ("wrong_delivery", "interfaces")
    anomaly = next(each for each in failed["anomalies"] if each["name"] == "lost")
    assert anomaly["rule"] == "O"
    assert anomaly["title"] == "Un message a été perdu"
    assert {"at", "who", "what"} == set(anomaly["evidence"][0])


def test_runs_and_jobs_are_summed_up() -> None:
    """Several runs, two at a time, end with k of n and the bound that this proves."""
    done = chatlab("check", "1", "--reference", "--runs", "3", "--jobs", "2", "--seed", "1")
    assert done.returncode == 0, done.stdout
    assert "3 of 3 runs passed" in done.stdout
    assert "63.2 % of runs" in done.stdout


SERVERS = {
    "command_not_found": ("nodee server.js", "There is no program `nodee`."),
    "exits_at_once": (
        f"{shlex.quote(sys.executable)} -c \"import sys; print('no config found'); sys.exit(3)\"",
        "exited with code 3",
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_server_that_does_not_start_is_explained(name: str) -> None:
    """What happened to a server's process is explained, with what it printed last."""
    command, words = SERVERS[name]
    done = chatlab("check", "1", "--server", command)
    assert done.returncode == 1
    assert words in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    if name == "exits_at_once":
        assert "no config found" in done.stdout


def test_no_server_at_the_url_is_explained() -> None:
    """`--url` with no server there fails within seconds, and names the address."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"ws://127.0.0.1:{sock.getsockname()[1]}/"
        done = chatlab("check", "1", "--url", address)
    assert done.returncode == 1
    assert f"Nobody answers at {address}" in done.stdout


def submission(tmp_path: Path, exercise: str, file: str, old: str, new: str) -> Path:
    """The model answers with one change."""
    without = shutil.ignore_patterns("typescript")
    folder = shutil.copytree(find_folder("solutions"), tmp_path / "mine", ignore=without)
    path = folder / exercise / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return folder


STUDENTS_MISTAKES = {
    "syntax_error": (
        "ex1_chat", "pubsub.py", "room: str, frame: ServerFrame)",
        "room: str, frame: (", "SyntaxError",
    ),
    "missing_class": ("ex1_chat", "pubsub.py", "class PubSub", "class PubSbu", "did you mean `PubSbu`?"),
    "wrong_signature": (
        "ex2_ordering", "sequencer.py", "accept(self, draft: Draft)",
        "accept(self, draft: Draft, now: int)",
        "should be `async def",
    ),
    "imports_the_reference": (
        "ex2_ordering", "sequencer.py", "import asyncio",
        "import asyncio\nfrom lab.sequencer import Sequencer as S", "write your own",
    ),
    "imports_a_model_answer": (
        "ex4_persistence", "store.py", "import asyncio", "import asyncio\nimport solutions",
        "write your own",
    ),
    "raises_at_import": (
        "ex3_presence", "presence.py", "@dataclass", "1 / 0\n@dataclass", "ZeroDivisionError",
    ),
    "raises_when_made": (
        "ex4_persistence", "store.py", "data_dir.mkdir",
        "raise RuntimeError('no disk')\n        data_dir.mkdir", "no disk",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STUDENTS_MISTAKES)
def test_a_student_s_mistake_is_explained(name: str, tmp_path: Path) -> None:
    """A file that cannot be used fails at once, by a sentence that names the file and what to change."""
    exercise, file, old, new, words = STUDENTS_MISTAKES[name]
    folder = submission(tmp_path, exercise, file, old, new)
    done = chatlab("check", exercise[2], "--submission", str(folder))
    assert done.returncode == 1
    flat = " ".join(done.stdout.split())
    assert words in flat
    assert file in flat
    assert "Traceback" not in done.stdout


IN_FRENCH = {
    "syntax_error": ", ligne ",
    "missing_class": "ne contient pas de classe `PubSub` ; vouliez-vous dire `PubSbu` ?",
    "wrong_signature": "la définition de `Sequencer.accept` devrait être `async def",
    "imports_the_reference": "écrivez le vôtre",
    "raises_at_import": ": ZeroDivisionError",
    "raises_when_made": ": RuntimeError: no disk",
}


@pytest.mark.parametrize("name", IN_FRENCH)
def test_a_student_s_mistake_is_explained_in_french(name: str, tmp_path: Path) -> None:
    """A file that cannot be used is reported in the language of the report, in each world."""
    exercise, file, old, new, _ = STUDENTS_MISTAKES[name]
    folder = submission(tmp_path, exercise, file, old, new)
    done = chatlab("check", exercise[2], "--submission", str(folder), "--lang", "fr", "--world", "both")
    assert done.returncode == 1
    flat = " ".join(done.stdout.split())
    assert flat.count("car un de ses fichiers est inutilisable : ") == 2, done.stdout
    assert IN_FRENCH[name] in flat
    assert "Error: /" not in flat


@pytest.mark.live
@pytest.mark.xdist_group("live0")
def test_hanging_component_is_located(tmp_path: Path) -> None:
    """An endless loop in a student's method is found, with the line that it hangs in."""
    old = "        for member in self.members(room):"
    folder = submission(tmp_path, "ex1_chat", "pubsub.py", old, f"        while True: pass\n{old}")
    lines = (folder / "ex1_chat/pubsub.py").read_text().splitlines()
    line = 1 + lines.index("        while True: pass")
    done = chatlab("check", "1", "--submission", str(folder))
    assert done.returncode == 1
    assert "server_hung" in done.stdout
    assert f'pubsub.py", line {line} in publish' in " ".join(done.stdout.replace("| ", "").split())


@pytest.mark.live
@pytest.mark.xdist_group("live0")
def test_a_flood_of_output_does_no_harm() -> None:
    """A server that prints without end is judged all the same, and the report says that it prints."""
    program = (
        "import threading, sys, runpy\n"
        "def flood():\n"
        "    while True: print('x' * 1000)\n"
        "threading.Thread(target=flood, daemon=True).start()\n"
        "sys.argv = ['lab']; runpy.run_module('lab', run_name='__main__')\n"
    )
    done = chatlab("check", "1", "--server", f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}")
    assert done.returncode in (0, 2), done.stdout
    assert "The server printed" in done.stdout


def command_of(process: psutil.Process) -> list[str]:
    """Its words; none if it has ended a moment ago."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def ours(parent: psutil.Process) -> list[psutil.Process]:
    """A process and all processes that it started."""
    return [parent, *parent.children(recursive=True)]


@pytest.mark.live
@pytest.mark.xdist_group("live0")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupted_check_leaves_nothing_behind(number: int, jobs: str, tmp_path: Path) -> None:
    """Ctrl-C or SIGTERM in the middle of a check ends every process and removes every file."""
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [*CHATLAB, "check", "1", "4", "--reference", "--jobs", jobs]
    process = subprocess.Popen(
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # A shell starts what runs in the background with Ctrl-C ignored, and tests may run there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    watched = psutil.Process(process.pid)
    deadline = time.monotonic() + 30
    while not any("lab" in command_of(each) for each in ours(watched)):
        assert time.monotonic() < deadline, "no server was started"
    family = ours(watched)
    if number == signal.SIGINT:  # as a terminal does: to the whole group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output.decode()
    assert b"Traceback" not in output, output.decode()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_gets_a_sentence() -> None:
    """If there is no room for the output, one sentence says so: that is the machine's, so inconclusive."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*CHATLAB, "hint", "1"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=90, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("A disk is full")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_file_is_no_failure(closed: str) -> None:
    """As some schedulers start programs: there is nowhere to print, and the exit code tells all the same."""
    command = f"{shlex.join(CHATLAB)} hint 1 {closed}"
    assert subprocess.run(["sh", "-c", command], capture_output=True, timeout=90).returncode == 0


def test_a_folder_that_was_removed_is_told(tmp_path: Path) -> None:
    """The current folder may be gone, where somebody has cleaned up in another window."""
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["sh", "-c", f"rmdir {gone}; exec {shlex.join(CHATLAB)} hint 1"],
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stderr.count("\n")) == (64, 1)
    assert "does not exist any more" in done.stderr


def test_a_defect_of_the_kit_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not that of a server that failed."""
    monkeypatch.setattr(main, "run_command", lambda *_: 1 // 0)
    assert main._run() == 70
