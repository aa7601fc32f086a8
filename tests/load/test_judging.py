"""The recordings of several load processes are judged as one history, by the same checkers as all others."""

from __future__ import annotations

import json
from array import array

import msgspec
import pytest

from harness.history.events import GaveUp
from harness.load import merge
from harness.load.doubts import LAG_LIMIT
from harness.load.judging import Load, Result, judge
from harness.load.latencies import latencies
from harness.load.merge import Merged
from harness.load.objectives import objective
from harness.load.record import Recording, pack, unpack
from harness.verdict.outcome import Outcome
from tests.load.recorders import Story

EVERYBODY = list(range(8))


def load(**changes: object) -> Load:
    """The options, with some changes."""
    return Load(**{"target": "x", "shape": "steady", "seed": 1, "processes": 1, "seconds": 5.0, **changes})


def verdict(story: Story, **changes: object) -> Result:
    """The verdict on a story, some time after its end."""
    return judge(load(**changes), [recorder.finish() for recorder in story.recorders])


def names(result: Result) -> set[str]:
    """The anomalies that were found."""
    return {anomaly.name for anomaly in result.findings.anomalies}


def chat(processes: int = 1, people: int = len(EVERYBODY)) -> Story:
    """A chat in which all send something, and all receive it."""
    story = Story(people, processes)
    for person in range(people):
        story.say(person, list(range(people)))
    return story


@pytest.mark.parametrize("processes", [1, 3])
def test_right_chat_passes(processes: int) -> None:
    """A right chat passes, however many processes recorded it, and what was checked is counted."""
    result = verdict(chat(processes))
    assert (result.outcome, names(result)) == (Outcome.PASSED, set())
    assert (result.messages, result.deliveries, result.users) == (8, 64, 8)
    assert (result.findings.rooms, result.findings.connections, result.findings.cuts) == (1, 8, 0)


@pytest.mark.parametrize("processes", [1, 3])
def test_lost_delivery_is_found(processes: int) -> None:
    """A single missing delivery is found, and reported for the client that misses it."""
    story = chat(processes)
    story.say(0, [each for each in EVERYBODY if each != 5])
    story.say(1, EVERYBODY)
    result = verdict(story)
    assert result.outcome is Outcome.FAILED
    assert names(result) == {"lost"}
    assert {anomaly.params["who"] for anomaly in result.findings.anomalies} == {"user5"}


def test_duplicate_and_disorder_are_found() -> None:
    """A message that comes twice, or after a later number, is found."""
    story = chat()
    first = story.say(0, [each for each in EVERYBODY if each != 5])
    story.say(1, EVERYBODY)
    story.hear(5, {"type": "message", "data": first})
    twice = story.say(2, EVERYBODY)
    story.hear(6, {"type": "message", "data": twice})
    assert names(verdict(story)) == {"reorder", "duplicate"}


def test_changed_content_is_found() -> None:
    """A message that one of many receives with another content is found."""
    story = chat()
    said = story.say(0, [each for each in EVERYBODY if each != 7])
    story.hear(7, {"type": "message", "data": {**said, "content": said["content"].upper()}})
    assert "altered" in names(verdict(story))


def test_leak_is_found() -> None:
    """A client that never joined a room and receives its messages is found."""
    story = chat()
    stranger = story.recorder(0)
    conn = stranger.next_conn()
    said = story.say(0, EVERYBODY)
    stranger.hear("stranger", conn, json.dumps({"type": "message", "data": said}))
    assert names(verdict(story)) == {"room_leak"}


def test_a_client_that_was_cut_off_is_owed_nothing_until_the_replay() -> None:
    """A client that lost its connection misses nothing by that, and gets the rest by `since`;
    a gap in it is found.
    """
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


def test_retry_is_answered_to_its_sender_only() -> None:
    """A message sent again with its id may come to its sender twice; a missing answer is found."""
    for answered in (True, False):
        story = chat(processes=2)
        said = story.say(4, EVERYBODY)
        story.say(4, [4] if answered else [], tag=said["id"])
        story.pass_time(5.0)
        assert names(verdict(story)) == (set() if answered else {"retry_unanswered"})


def test_slices_find_what_the_whole_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many connections are checked together changes nothing in what is found."""
    story = chat(processes=2, people=40)
    everybody = list(range(40))
    for person in range(20):
        story.say(person, [each for each in everybody if each not in (person, person + 20)])
    found = []
    for size in (1, 7, 1000):
        monkeypatch.setattr(merge, "SLICE", size)
        anomalies = verdict(story).findings.anomalies
        assert {a.variant for a in anomalies} == {"", "own", "hole"}
        # Of gaps at joins, the checker reports at most three each time that it is called.
        found.append(sorted((a.variant, a.params["who"]) for a in anomalies if a.variant != "hole"))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 40


def test_record_is_unchanged_by_transport() -> None:
    """A recording that was packed, sent in pieces and unpacked is the same; a half of one is refused."""
    recording = chat().recorders[0].finish()
    pieces = pack(recording)
    assert unpack(pieces) == recording
    with pytest.raises(ValueError, match="no recording"):
        unpack([pieces[0][:-10]])


def test_latency_is_from_sending_to_each_receiver() -> None:
    """Latencies are the times between the records of the sender and of a receiver;
    across hosts there are none.
    """
    story = chat(processes=2)
    every, own = latencies(Merged([recorder.finish() for recorder in story.recorders]))
    assert len(every) == 64
    assert len(own) == 8
    assert every[0] == pytest.approx(0.001)
    assert every[-1] == pytest.approx(0.008)
    story.recorders[1].host = "elsewhere"
    every, own = latencies(Merged([recorder.finish() for recorder in story.recorders]))
    assert len(every) == 32


def test_clocks_of_several_hosts_are_aligned() -> None:
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


def test_objective_is_compared_with_the_99th_percentile() -> None:
    """A p99 above the objective fails, with both figures; one below it passes."""
    slow = verdict(chat(), objectives=[objective("delivery.p99=5ms")])
    assert slow.outcome is Outcome.FAILED
    assert slow.reasons[0].params == {"objective": "delivery.p99=5ms", "value": "8.0 ms"}
    assert verdict(chat(), objectives=[objective("delivery.p99=9ms")]).outcome is Outcome.PASSED


def test_slow_load_process_proves_nothing() -> None:
    """If the load process itself woke up late, a broken objective is inconclusive, and so is a pass.

    One that is kept all the same is kept: a late load makes times longer.
    """
    story = chat()
    story.recorders[0].lags.extend([2 * LAG_LIMIT] * 100)
    for wanted, outcome in (
        ([], "inconclusive"),
        (["5"], "inconclusive"),
        (["9"], "passed"),
        (["5", "9"], "inconclusive"),
    ):
        result = verdict(story, objectives=[objective(f"delivery.p99={each}ms") for each in wanted])
        assert result.outcome == outcome
        assert result.reasons[0].key == "lag"


def test_certain_findings_fail_on_a_slow_machine_too() -> None:
    """A duplicate is one however late a load process woke up; what is only missing may still come."""
    story = chat()
    story.recorders[0].lags.extend([2 * LAG_LIMIT] * 100)
    story.say(0, EVERYBODY[1:])
    story.say(0, EVERYBODY)
    assert verdict(story).outcome is Outcome.INCONCLUSIVE
    story.say(0, [*EVERYBODY, 7])
    assert verdict(story).outcome is Outcome.FAILED


def test_missing_record_is_inconclusive() -> None:
    """Without the record of one process nothing is judged:
    its users' messages would seem to have no sender.
    """
    story = chat(processes=2)
    result = judge(load(processes=2, missing=1), [story.recorders[0].finish()])
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.findings.anomalies == []
    assert [reason.key for reason in result.reasons] == ["missing"]


def test_a_flood_fails_a_load_and_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot come from what was said is the server's doing: nothing more is read, nor judged."""
    monkeypatch.setattr("harness.load.record.MAX_VALUES", 1000)
    monkeypatch.setattr("harness.load.record.WEIGH_EVERY", 10_000)
    story = Story(2)
    monkeypatch.setattr("harness.load.record.BYTES_PER_MESSAGE", 1000)
    story = chat(people=2)
    (recorder,) = story.recorders
    for kind, is_flood in (("one", False), ("two", True), ("three", True)):
        story.hear(0, {"type": kind, "data": [0] * 4000})
        assert recorder.flooded is is_flood
    recording = recorder.finish()
    assert recording.different < 30_000
    assert (recording.messages, recording.pages, recording.live) == ([], [], [])
    result = verdict(story)
    assert result.outcome is Outcome.FAILED
    assert [reason.key for reason in result.reasons][:1] == ["flooding"]


def test_a_limit_of_this_machine_leaves_a_load_open() -> None:
    """A user that found no open file to connect with is no finding."""
    story = chat()
    recorder = story.recorder(0)
    recorder.add(GaveUp(recorder.now(), "user0", story.conns[0] + 1, "connection own_limit", 0.0))
    result = verdict(story)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.findings.anomalies == []
    assert [reason.key for reason in result.reasons] == ["own_limit"]


def test_requests_that_nobody_answered_are_why_a_load_is_silent() -> None:
    """Then it is no doubt: the server has brought it about."""
    story = Story(2)
    story.recorders[0].add(GaveUp(story.clock, "user0", story.conns[0], "presence", 8.0, "room1-run"))
    result = verdict(story)
    assert result.outcome is Outcome.FAILED
    assert names(result) == {"unanswered_request"}
    assert result.reasons == []


def test_a_silent_load_shows_nothing() -> None:
    """A load in which nobody sent anything is inconclusive, and so is one without clients."""
    assert verdict(Story(3)).outcome is Outcome.INCONCLUSIVE
    assert judge(load(), []).outcome is Outcome.INCONCLUSIVE


def test_malformed_frames_are_found() -> None:
    """A frame of the wrong form is an anomaly, with what is wrong in it."""
    story = chat()
    story.recorder(0).hear("user0", story.conns[0], '{"type":"message","data":{"room":7}}')
    story.recorder(0).hear("user0", story.conns[0], "no JSON at all")
    assert names(verdict(story)) == {"malformed_frame"}
