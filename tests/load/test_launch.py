"""What decides a load is our options, and no settings that somebody keeps for Locust."""

from __future__ import annotations

import os
import site
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.judged.targets import ROOT
from harness.load.launch import locust_alone
from harness.load.options import PARENT


@pytest.mark.parametrize(("theirs", "ours"), [("--duration", "--time"), ("--vus", "--users")])
def test_what_other_load_testers_call_it_is_known(theirs: str, ours: str) -> None:
    """Ours is suggested for it, and an option that nobody knows is refused as ever."""
    said = CliRunner().invoke(cli, ["load", f"{theirs}=30"]).output
    assert ours in said.rpartition("Error: ")[2]
    assert "No such option" in CliRunner().invoke(cli, ["load", "--nothing-like-it"]).output


def test_locust_finds_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variables are left out, and it has an empty home; what Python finds its packages by, stays."""
    for name in ("LOCUST_TAGS", "LOCUST_MODE_MASTER", "LOCUST_CONFIG", "LOCUST_USERS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "beside"]))
    monkeypatch.setenv("LANG", "fr_FR.UTF-8")
    found = locust_alone(tmp_path)
    assert found[PARENT] == str(os.getpid()), "with which it ends"
    assert not [name for name in found if name.startswith("LOCUST_")]
    assert found["HOME"] == found["USERPROFILE"] == str(tmp_path)
    assert found["PYTHONUSERBASE"] == site.getuserbase()
    assert found["PYTHONPATH"].split(os.pathsep) == [str(ROOT), str(Path("beside").absolute())]
    assert (found["LANG"], found["PATH"]) == ("fr_FR.UTF-8", os.environ["PATH"])
