"""What a judged server sees of the environment of whoever runs the kit."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.judged import environment
from harness.judged.environment import IN_CLASS, of_server
from lab.command import serve

SETTINGS = {"PORT": "4711", "HOST": "127.0.0.1"}


def test_the_options_of_the_reference_are_all_known() -> None:
    """Each variable that sets an option of the reference server is left out, unless the check sets it."""
    assert {option.envvar for option in serve.params if option.envvar} == environment.OF_THE_REFERENCE


@pytest.mark.parametrize(
    "name",
    [
        *sorted(environment.OF_THE_REFERENCE - set(SETTINGS)),
        *("PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONASYNCIODEBUG", "PYTHONIOENCODING"),
        *("TMUX", "STY"),
        *("PYTHONSTARTUP", "PYTHONHASHSEED", "PYTHONINSPECT", "WEBSOCKETS_MAX_LOG_SIZE", "CHATLAB_LANG"),
    ],
)
def test_what_changes_the_judged_programs_is_left_out(name: str) -> None:
    """Settings of the reference server and of Python, that another program needs, do not reach a server."""
    given = {name: "1", "EDITOR": "vi"}
    assert name not in of_server(SETTINGS, None, given)
    assert of_server(SETTINGS, None, given)["EDITOR"] == "vi"
    assert name not in of_server(SETTINGS, [*IN_CLASS, name], given)


def test_settings_come_before_what_is_given() -> None:
    """The check's own settings are those that a server sees."""
    given = {"PORT": "tcp://10.0.0.7:8080", "HOST": "x86_64-conda-linux-gnu", "PYTHONUNBUFFERED": ""}
    assert of_server(SETTINGS, None, given) == {
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        **SETTINGS,
    }


def test_a_class_sees_tools_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log sent to a student cannot contain the instructor's variables; tools find what they need."""
    for name in ("MY_SECRET", "GITHUB_TOKEN", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "hunter2")
    tools = {"JAVA_HOME", "GOPATH", "CARGO_HOME", "PYTHONPATH", "PYENV_ROOT", "VOLTA_HOME", "WORKON_HOME"}
    for name in tools:
        monkeypatch.setenv(name, "/somewhere")
    seen = of_server(SETTINGS, IN_CLASS)
    assert {"PATH", *tools} <= set(seen)
    assert not {"MY_SECRET", "GITHUB_TOKEN", "SSH_AUTH_SOCK"} & set(seen)
    assert "MY_SECRET" in of_server(SETTINGS, [*IN_CLASS, "MY_SECRET"])
    assert "JAVA_HOME" in environment.names_passed(IN_CLASS)
    assert "MY_SECRET" not in environment.names_passed(IN_CLASS)


@pytest.mark.parametrize(("length", "count"), [(80, len(environment.MANAGERS)), (81, 0)])
def test_a_place_with_a_long_name_is_none_for_process_managers(length: int, count: int) -> None:
    """They would not start: they make sockets there, whose names cannot be that long."""
    assert len(environment.own_managers(Path("/" + "x" * (length - 1)))) == count


def test_modules_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server runs where its files are; what is relative on PYTHONPATH means our folder."""
    monkeypatch.chdir(tmp_path)
    given = {"PYTHONPATH": os.pathsep.join(["kit", "", "/else"])}
    places = [str(tmp_path / "kit"), str(tmp_path), "/else"]
    assert of_server({}, None, given)["PYTHONPATH"] == os.pathsep.join(places)
    assert of_server({}, None, {"PYTHONPATH": ""})["PYTHONPATH"] == "", "which is none, for Python"


@pytest.mark.parametrize("active", ["nothing", "the kit's", "another"])
def test_python_is_the_one_that_runs_the_kit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, active: str
) -> None:
    """Its virtual environment need not be activated; another one that is stays first."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "kit"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "kit" / "bin" / "python"))
    given = {"PATH": "/usr/bin"}
    if active != "nothing":
        given["VIRTUAL_ENV"] = str(tmp_path / ("kit" if active == "the kit's" else "other"))
    path = of_server({}, None, given)["PATH"].split(os.pathsep)
    assert path == (["/usr/bin"] if active == "another" else [str(tmp_path / "kit" / "bin"), "/usr/bin"])


def test_a_python_of_the_system_leaves_the_path_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder has much besides, which would come before what the user has chosen."""
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert of_server({}, None, {"PATH": "/own:/usr/bin"})["PATH"] == "/own:/usr/bin"
