"""What decides a load is our options, and no settings that somebody keeps for Locust."""

from __future__ import annotations

import json
import os
import site
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.judged.targets import ROOT, Target
from harness.load.launch import Launch, locust_alone
from harness.load.options import PARENT, Options


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


@pytest.mark.parametrize("html", [False, True])
async def test_a_server_that_does_not_start_is_the_result(tmp_path: Path, *, html: bool) -> None:
    """The files are written, so that an old one is not taken for the result."""
    file = tmp_path / "load.json"
    file.write_text('{"verdict": "passed"}')
    asked = Options(
        users=1,
        spawn_rate=None,
        seconds=1,
        shape="steady",
        rooms=1,
        pace=1.0,
        processes=1,
        objectives=("errors=0",),
        seed=None,
        web_port=None,
        json_file=str(file),
        html_file=str(tmp_path / "load.html") if html else None,
        openmetrics_file=str(tmp_path / "load.prom") if html else None,
        csv=None,
        otel=False,
        scenario=None,
        lang="en",
    )
    target = Target("it", command=[sys.executable, "-c", "raise SystemExit(3)"], env={})
    assert await Launch(target, asked).run() == 1
    value = json.loads(file.read_text())
    assert (value["verdict"], value["ended"]) == ("failed", "no_start")
    assert [each["name"] for each in value["anomalies"]] == ["no_start"]
    assert not html or "The server did not start" in (tmp_path / "load.html").read_text()
