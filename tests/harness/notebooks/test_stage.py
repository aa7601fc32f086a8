from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.history.events import Called, digest
from harness.notebooks import Stage, heard, say, settle
from harness.notebooks.apart import Failed, Sentence


async def scene(world: Any) -> None:
    """Two people; the third save is slow, and another message comes meanwhile."""
    red = world.name("red")
    alice, bob = [await world.client(name) for name in ("alice", "bob")]
    for person in (alice, bob):
        await person.join(red)
    for text in ("one", "two"):
        await say(alice, red, text)
        await settle(alice, bob)
    await say(alice, red, "three")
    await bob.fence()
    await say(bob, red, "four")
    await settle(alice, bob)


SLOW = {"store": "slow_disk.py"}
WRONG = {**SLOW, "sequencer": "defects/sequencer.py"}


async def test_two_plays_are_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Virtual time; files are found beside the notebooks, wherever the kernel was started."""
    here = await Stage(2).perform(scene, **SLOW)
    monkeypatch.chdir(tmp_path)
    there = await Stage(2).perform(scene, **SLOW)
    assert digest(here) == digest(there)
    assert heard(here, "bob") == [1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == []


async def test_race_is_seen_in_the_servers_lane() -> None:
    """While number 3 is being saved, number 4 is saved and published."""
    events = await Stage(2).perform(scene, **WRONG)
    assert heard(events, "bob") == [1, 2, 4, 3]
    told = re.findall(r"server (.*?);", Stage(2).spacetime(events, "A race", ("message",)).description)
    assert told[-4:] == ["saves #4", "publishes #4", "has saved #3", "publishes #3"]
    assert "begins to save #3" in told
    french = Stage(2, "fr").spacetime(events, "Une course", ("message",)).description
    assert "serveur commence à enregistrer #3" in french


@pytest.mark.live
async def test_live_is_a_switch() -> None:
    """On a real server the same is heard; calls are not seen there."""
    events = await Stage(2).perform(scene, live=True, **WRONG)
    assert heard(events, "bob") == [1, 2, 4, 3]
    assert not any(isinstance(event, Called) for event in events)


async def test_wrong_use_is_told_in_a_sentence() -> None:
    """In the language of the stage; nothing is drawn silently as an empty picture."""
    stage = Stage(2, "fr")
    events = await stage.perform(scene)
    with pytest.raises(Sentence, match=r"fichier nowhere\.py"):
        await stage.perform(scene, sequencer="nowhere.py")
    with pytest.raises(Sentence, match="composants sont pubsub"):
        await stage.perform(scene, sequenzer="slow_disk.py")
    with pytest.raises(Sentence, match="ne connaît pas messages"):
        stage.spacetime(events, "x", ("messages",))
    with pytest.raises(Sentence, match="ne connaît pas messages"):
        stage.scrubber(events, "x", ("messages",))
    with pytest.raises(Sentence, match=r"stage\.ask"):
        stage.reveal(unasked=1)
    with pytest.raises(Sentence, match="pas de méthode sav"):
        stage.source("defects/store.py", "sav")
    with pytest.raises(Sentence, match="Sequencer"):
        await stage.perform(scene, sequencer="defects/store.py")


async def test_error_of_a_scene_is_shown() -> None:
    """By its own line."""

    async def bad(world: Any) -> None:
        await world.client("alice")
        raise KeyError("no such room")

    with pytest.raises(Failed, match=r"KeyError: 'no such room'"):
        await Stage(1).perform(bad)


async def test_intervals_are_those_of_the_server() -> None:
    """Here a minute costs nothing."""

    async def quiet(world: Any) -> None:
        alice = await world.client("alice")
        await alice.join(world.name("red"))
        until = world.now() + 90
        await world.until(lambda: world.now() < until, patience=200)

    events = await Stage(3).perform(quiet, intervals=(30, 60))
    assert events[-1].at > 90
    opened = next(event for event in events if type(event).__name__ == "Opened")
    assert (opened.heartbeat, opened.timeout) == (30, 60)  # type: ignore[union-attr]


def test_a_prediction_is_asked_and_compared() -> None:
    """The answer is folded, and beside it stands what the script compares; a question may hold any text."""
    stage = Stage(1)
    asked = stage.ask("n", 'How many "<b>"?', 1, 2)._repr_html_()
    assert asked.count('type="radio" name="chatlab-1-n"') == 2
    assert "How many &quot;&lt;b&gt;&quot;?" in asked
    shown = stage.reveal(n=2)._repr_html_()
    assert shown.startswith('<details class="chatlab-fold"')
    assert 'data-asked="chatlab-1-n" data-was="2"' in shown
    assert "It was: 2." in shown


async def test_scrubber_is_a_picture_until_its_script_runs() -> None:
    """Outside of the script there is one image; what the script puts there cannot end it."""
    stage = Stage(1)

    async def hostile(world: Any) -> None:
        red = world.name("red")
        alice = await world.client("alice")
        await alice.join(red)
        await say(alice, red, "</script><b>")
        await settle(alice)

    html = stage.scrubber(await stage.perform(hostile), "Steps")._repr_html_()
    assert html.count("</script>") == 1
    outside = re.sub(r"<script>.*</script>", "", html, flags=re.DOTALL)
    assert re.fullmatch(r'<div class="later-d\w+"><img [^>]*></div>\s*', outside)


async def test_verdict_is_that_of_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    """A small play of the exercise names the defect."""
    await Stage(2).verdict("reorder", "sequencer", **WRONG)
    told = capsys.readouterr().out
    assert "✗ 2.2" in told
    assert "(reorder)" in told


async def test_own_component_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of the folder in which the notebook runs, with the command that does the same."""
    own = tmp_path / "exercises" / "ex1_chat"
    own.mkdir(parents=True)
    (own / "pubsub.py").write_text((Path(__file__).parents[3] / "notebooks/defects/pubsub.py").read_text())
    monkeypatch.chdir(tmp_path)
    await Stage(1, "fr").check()
    told = capsys.readouterr().out
    assert told.startswith("$ chatlab check 1 --world sim --runs 10 --lang fr\n")
    assert "(duplicate)" in told
    assert "✗ 1.4" in told
