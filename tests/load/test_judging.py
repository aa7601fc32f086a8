"""What several load processes recorded is judged as one history, by the checkers that judge all others."""

from __future__ import annotations

import json
from array import array

import msgspec
import pytest

from harness.load import merge
from harness.load.judging import LAG_LIMIT, Load, Result, judge
from harness.load.latencies import latencies
from harness.load.merge import Merged
from harness.load.record import Recording, pack, unpack
from harness.verdict.outcome import Outcome
from tests.load.recorders import Story

EVERYBODY = list(range(8))


def load(**changes: object) -> Load:
    """What was asked for, with differences."""
    return Load(**{"target": "x", "shape": "steady", "seed": 1, "processes": 1, "seconds": 5.0, **changes})


def verdict(story: Story, **changes: object) -> Result:
    """The verdict on a story, some quiet time after its end."""
    return judge(load(**changes), [recorder.finish() for recorder in story.recorders])


def names(result: Result) -> set[str]:
    """The anomalies that were found."""
    return {anomaly.name for anomaly in result.findings.anomalies}


def chat(processes: int = 1, people: int = len(EVERYBODY)) -> Story:
    """A chat in which everybody says something, and all hear it."""
    story = Story(people, processes)
    for person in range(people):
        story.say(person, list(range(people)))
    return story


@pytest.mark.parametrize("processes", [1, 3])
def test_right_chat_passes(processes: int) -> None:
    """A right chat is found right, however many processes recorded it, and what was looked at is counted."""
    result = verdict(chat(processes))
    assert (result.outcome, names(result)) == (Outcome.PASSED, set())
    assert (result.messages, result.deliveries, result.users) == (8, 64, 8)
    assert (result.findings.rooms, result.findings.connections, result.findings.cuts) == (1, 8, 0)


@pytest.mark.parametrize("processes", [1, 3])
def test_lost_delivery_is_found(processes: int) -> None:
    """One delivery of all that is missing is found, and told of the one who misses it."""
    story = chat(processes)
    story.say(0, [each for each in EVERYBODY if each != 5])
    story.say(1, EVERYBODY)
    result = verdict(story)
    assert result.outcome is Outcome.FAILED
    assert names(result) == {"lost"}
    assert {anomaly.params["who"] for anomaly in result.findings.anomalies} == {"user5"}


def test_duplicate_and_disorder_are_found() -> None:
    """What comes twice, and what comes after a later number, is found."""
    story = chat()
    first = story.say(0, [each for each in EVERYBODY if each != 5])
    story.say(1, EVERYBODY)
    story.hear(5, {"type": "message", "data": first})
    twice = story.say(2, EVERYBODY)
    story.hear(6, {"type": "message", "data": twice})
    assert names(verdict(story)) == {"reorder", "duplicate"}


def test_changed_content_is_found() -> None:
    """What one of many receives with another content is found."""
    story = chat()
    said = story.say(0, [each for each in EVERYBODY if each != 7])
    story.hear(7, {"type": "message", "data": {**said, "content": said["content"].upper()}})
    assert "altered" in names(verdict(story))


def test_leak_is_found() -> None:
    """Somebody who never joined a room, and hears it all the same, is found."""
    story = chat()
    stranger = story.recorder(0)
    conn = stranger.next_conn()
    said = story.say(0, EVERYBODY)
    stranger.hear("stranger", conn, json.dumps({"type": "message", "data": said}))
    assert names(verdict(story)) == {"room_leak"}


def test_who_was_cut_off_is_owed_nothing_until_the_replay() -> None:
    """Who lost the connection misses nothing by that, and gets the rest by `since`; a hole in it is found."""
    for missing, expected in ((0, set()), (1, {"replay_hole"})):
        story = chat()
        others = [each for each in EVERYBODY if each != 3]
        story.cut(3)
        away = [story.say(0, others) for _ in range(4)]
        story.pass_time(3.0)
        story.come(3, since=8, replay=away[missing:])
        story.say(1, EVERYBODY)
        result = verdict(story)
        assert names(result) == expected
        assert result.findings.cuts == 1


def test_retry_is_answered_to_its_sender_alone() -> None:
    """What is said again by its id may come to its sender twice; if it is not answered, that is found."""
    for answered in (True, False):
        story = chat(processes=2)
        said = story.say(4, EVERYBODY)
        story.say(4, [4] if answered else [], tag=said["id"])
        story.pass_time(5.0)
        assert names(verdict(story)) == (set() if answered else {"retry_unanswered"})


def test_slices_find_what_the_whole_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many connections are looked at together changes nothing in what is found."""
    story = chat(processes=2, people=40)
    everybody = list(range(40))
    for person in range(20):
        story.say(person, [each for each in everybody if each not in (person, person + 20)])
    found = []
    for size in (1, 7, 1000):
        monkeypatch.setattr(merge, "SLICE", size)
        anomalies = verdict(story).findings.anomalies
        assert {a.variant for a in anomalies} == {"", "own", "hole"}
        # Of holes at joins, the checker tells three at the most each time that it is asked.
        found.append(sorted((a.variant, a.params["who"]) for a in anomalies if a.variant != "hole"))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 40


def test_record_survives_its_journey() -> None:
    """A recording that was packed, sent in pieces and unpacked is the same; half of it is none."""
    recording = chat().recorders[0].finish()
    pieces = pack(recording)
    assert unpack(pieces) == recording
    with pytest.raises(ValueError, match="no recording"):
        unpack([pieces[0][:-10]])


def test_latency_is_from_sending_to_each_receiver() -> None:
    """Latencies are the times between what the sender and a receiver recorded; across hosts there is none."""
    story = chat(processes=2)
    every, own = latencies(Merged([recorder.finish() for recorder in story.recorders]))
    assert len(every) == 64
    assert len(own) == 8
    assert every[0] == pytest.approx(0.001)
    assert every[-1] == pytest.approx(0.008)
    story.recorders[1].host = "elsewhere"
    every, own = latencies(Merged([recorder.finish() for recorder in story.recorders]))
    assert len(every) == 32


def test_clocks_of_several_hosts_are_put_together() -> None:
    """What was recorded on a clock that is an hour late is judged right, once its offset is known."""
    recordings = [recorder.finish() for recorder in chat(processes=2).recorders]
    late = unpack(pack(recordings[1]))
    shifted = _shifted(late, -3600.0)
    assert judge(load(), [recordings[0], shifted]).outcome is Outcome.FAILED
    assert judge(load(), [recordings[0], shifted], {"process1": 3600.0}).outcome is Outcome.PASSED


def _shifted(recording: Recording, seconds: float) -> Recording:
    """A recording whose host's clock shows another time."""
    events = [msgspec.structs.replace(event, at=event.at + seconds) for event in recording.events]
    live = [msgspec.structs.replace(heard, at=_later(heard.at, seconds)) for heard in recording.live]
    return msgspec.structs.replace(recording, events=events, live=live)


def _later(times: bytes, seconds: float) -> bytes:
    return array("d", [at + seconds for at in array("d", times)]).tobytes()


def test_objective_is_held_against_the_99th_percentile() -> None:
    """A p99 above the objective fails, with both figures; one below it passes."""
    slow = verdict(chat(), objective=0.005)
    assert slow.outcome is Outcome.FAILED
    assert slow.reasons[0].params == {"p99": "8.0", "objective": "5"}
    assert verdict(chat(), objective=0.009).outcome is Outcome.PASSED


def test_slow_load_process_proves_nothing() -> None:
    """Where the load process itself woke up late, a broken objective is inconclusive, and so is a pass."""
    story = chat()
    story.recorders[0].lags.extend([2 * LAG_LIMIT] * 100)
    for objective in (None, 0.005):
        result = verdict(story, objective=objective)
        assert result.outcome is Outcome.INCONCLUSIVE
        assert [reason.key for reason in result.reasons] == ["lag"]


def test_what_was_found_for_sure_fails_on_a_slow_machine_too() -> None:
    """A duplicate is one however late a load process woke up; what is only missing may come yet."""
    story = chat()
    story.recorders[0].lags.extend([2 * LAG_LIMIT] * 100)
    story.say(0, EVERYBODY[1:])
    story.say(0, EVERYBODY)
    assert verdict(story).outcome is Outcome.INCONCLUSIVE
    story.say(0, [*EVERYBODY, 7])
    assert verdict(story).outcome is Outcome.FAILED


def test_missing_record_is_inconclusive() -> None:
    """Without the record of one process nothing is judged: its users' messages would seem to be nobody's."""
    story = chat(processes=2)
    result = judge(load(processes=2, missing=1), [story.recorders[0].finish()])
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.findings.anomalies == []
    assert [reason.key for reason in result.reasons] == ["missing"]


def test_silence_shows_nothing() -> None:
    """A load in which nobody said anything is inconclusive, and so is one in which nobody came."""
    assert verdict(Story(3)).outcome is Outcome.INCONCLUSIVE
    assert judge(load(), []).outcome is Outcome.INCONCLUSIVE


def test_malformed_frames_are_found() -> None:
    """A frame of the wrong shape is an anomaly, with what is wrong in it."""
    story = chat()
    story.recorder(0).hear("user0", story.conns[0], '{"type":"message","data":{"room":7}}')
    story.recorder(0).hear("user0", story.conns[0], "no JSON at all")
    assert names(verdict(story)) == {"malformed_frame"}
