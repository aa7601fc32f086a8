"""The steps of a ramp: where a fault counts, and what the objectives say of each."""

from __future__ import annotations

from array import array

from harness.history.events import Closed, GaveUp, Sent
from harness.load.judging import Load, Result, judge
from harness.load.objectives import objective
from harness.load.slots import Step
from harness.verdict.outcome import Outcome, Text
from tests.load.recorders import ROOM, Story

STEPS = [Step(10, 0.0, 4.0), Step(20, 4.0, 8.0), Step(30, 8.0, 12.0)]
BEGAN = 100.0


def ramp(*objectives: str) -> Load:
    """A ramp of three steps in 12 s."""
    asked = [objective(each) for each in objectives]
    return Load("x", "ramp", 1, 1, 12.0, objectives=asked, began=BEGAN, steps=STEPS)


def story() -> Story:
    """Four who say something in each second."""
    made = Story(4)
    for second in range(1, 12):
        made.clock = BEGAN + second
        made.say(second % 4, [0, 1, 2, 3])
    made.clock = BEGAN + 12
    return made


def verdict(made: Story, *objectives: str) -> Result:
    """The verdict on it."""
    return judge(ramp(*objectives), [recorder.finish() for recorder in made.recorders])


def broken(result: Result) -> int | None:
    """The users with which it breaks."""
    return result.breaks_at.users if result.breaks_at else None


def test_a_cut_counts_where_it_was_made() -> None:
    """However long ago the last words before it were said; and a step without it is passed."""
    made = Story(4)
    made.say(0, [0, 1, 2, 3])
    for second in range(1, 8):
        made.clock = BEGAN + second
        made.say(1 + second % 3, [0, 1, 2, 3])
    made.clock = BEGAN + 8.05
    for person in range(4):
        recorder, name = made.recorder(person), f"user{person}"
        recorder.add(Closed(made.clock, name, made.conns[person], "server", 1006, ""))
    result = verdict(made)
    assert {each.name for each in result.findings.anomalies} == {"dropped_connection"}
    assert [each.outcome for each in result.steps] == [Outcome.PASSED, Outcome.PASSED, Outcome.FAILED]
    assert broken(result) == 30


def test_a_loss_counts_where_it_is_for_good() -> None:
    """A second after the message was said; who got it, and gets it again much later, changes nothing."""
    for said, users in ((3.5, 20), (2.0, 10), (7.2, 30)):
        made = Story(4)
        for second in range(1, 12):
            made.clock = BEGAN + second
            made.say(second % 4, [0, 1, 2, 3])
            if second <= said < second + 1:
                made.clock = BEGAN + said
                made.say(0, [0, 1, 2])
        made.clock = BEGAN + 12
        assert broken(verdict(made)) == users, said


def test_no_answer_counts_where_it_should_have_come() -> None:
    """And not when patience was over."""
    made = story()
    recorder, name, conn = made.recorder(0), "user0", made.conns[0]
    recorder.add(Sent(BEGAN + 4.5, name, conn, {"type": "history", "room": ROOM, "since": 0}))
    recorder.add(GaveUp(BEGAN + 10.5, name, conn, "history", 6.0, ROOM))
    assert broken(verdict(made)) == 20


def with_connects(seconds: list[float]) -> Story:
    """Users who come in the first second of each step, and so long after they were to come."""
    made = story()
    recorder = made.recorders[0]
    for step, each in zip(STEPS, seconds, strict=True):
        due = BEGAN + step.begin
        recorder.timings["connect"] = array("d", [*recorder.timings["connect"], due, each])
        recorder.arrivals.extend((due, due + each))
    return made


def test_connects_of_a_ramp_are_those_of_its_arrivals() -> None:
    """An objective for them is judged without any reconnect; what is worst is told, with its step."""
    result = verdict(with_connects([0.01, 0.3, 0.02]), "connect.p95=1s")
    (kept,) = result.objectives
    assert (kept.outcome, kept.value, kept.users) == (Outcome.PASSED, 0.3, 20)
    assert result.outcome is Outcome.PASSED


def test_each_missed_objective_is_named_in_its_step() -> None:
    """And the one of the whole ramp has the worst step's value, whatever the first that breaks."""
    missed = ("connect.p95=0.1s", "delivery.p99=1ms", "echo.p99=9s")
    result = verdict(with_connects([0.01, 0.3, 0.4]), *missed)
    assert broken(result) == 10, "for the deliveries"
    assert [(each.users, each.outcome) for each in result.objectives][::2] == [
        (30, Outcome.FAILED),
        (result.objectives[2].users, Outcome.PASSED),
    ]
    assert [each.params["objective"] for each in result.steps[1].why] == list(missed[:2])
    assert [each.params["objective"] for each in result.steps[0].why] == [missed[1]]
    assert Text("not_kept_at", {"objective": missed[0], "value": "400.0 ms", "users": 30}) in result.reasons


def test_without_reconnects_arrivals_are_judged_in_other_shapes_too() -> None:
    """And the line says so; if there is some time after the warm-up."""
    made = with_connects([0.01, 0.3, 0.4])
    asked = [objective("connect.p95=1s"), objective("reconnect.p95=1s")]
    load = Load("x", "steady", 1, 1, 12.0, objectives=asked, began=BEGAN)
    kept, unknown = judge(load, [made.recorders[0].finish()]).objectives
    assert (kept.outcome, kept.value, kept.why) == (Outcome.PASSED, 0.4, Text("of_arrivals"))
    assert (unknown.outcome, unknown.value) == (Outcome.INCONCLUSIVE, None)
