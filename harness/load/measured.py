"""The figures of a load: for the whole time after the warm-up, for each step, and for each second."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from math import inf

from msgspec import Struct

from harness.checkers.lifecycle import OWN_LIMIT
from harness.history import events as history
from harness.load.figures import Figures, percentile
from harness.load.latencies import measure
from harness.load.merge import Merged
from harness.load.record import Recording, seconds
from harness.load.slots import Slots, Step, matched, pairs

ARRIVING = ("connect", "join")
"""What is timed while users arrive, as well: for a step of a ramp, that is the most interesting time."""


class Moment(Struct):
    """What happened in one slot. Times are in seconds."""

    at: float
    users: int
    messages: int
    deliveries: int
    errors: int
    p50: float
    p99: float
    probe_p99: float
    lag: float
    cpu: float


class _Beats:
    """How late, and how busy, a process was in each slot."""

    def __init__(self, recording: Recording, shift: float, slots: Slots) -> None:
        self.lags: dict[int, list[float]] = defaultdict(list)
        self.cpu: dict[int, list[float]] = defaultdict(list)
        self.waits: dict[int, list[float]] = defaultdict(list)
        lags = seconds(recording.lags)
        values, last = iter(array("d", recording.beats)), 0
        for at, count, cpu, waited in zip(values, values, values, values, strict=True):
            slot = slots.at(at + shift)
            self.lags[slot] += lags[last : int(count)]
            self.cpu[slot].append(cpu)
            self.waits[slot].append(waited)
            last = int(count)
        if not recording.beats:
            self.lags[0] += lags

    def lag(self, slots: Iterable[int]) -> float:
        """The 99th percentile of its lag, in seconds."""
        return percentile(sorted(chain.from_iterable(self.lags.get(slot, ()) for slot in slots)), 99)

    def share(self, slots: Iterable[int]) -> tuple[float, float]:
        """The mean share of a core that it took, and of the time that it waited for one."""
        some = list(slots)
        return _mean(self.cpu, some), _mean(self.waits, some)


class Measurements:
    """All figures of a load that lasted so many seconds, without the time for what was still under way."""

    def __init__(self, merged: Merged, recordings: list[Recording], lasted: float, steps: list[Step]) -> None:
        users = [recording for recording in recordings if not recording.busy_room]
        arrivals = chain.from_iterable(
            ((due + merged.shift(each), done + merged.shift(each)) for due, done in pairs(each.arrivals))
            for each in users
        )
        lasted = lasted or (merged.events[-1].at if merged.events else 0.0)
        self.slots = Slots(lasted, arrivals, steps)
        self.measured = measure(merged, self.slots)
        for recording in recordings:
            times = self.measured.probe if recording.busy_room else self.measured.users
            for name, data in recording.timings.items():
                for due, took in pairs(data, merged.shift(recording)):
                    if due > lasted:  # at the end all who are away come back at once, to be counted
                        continue
                    times.add(name, due, took)
                    if name == "connect" and not recording.busy_room:
                        self.measured.compared.add(name, due, took)
            for name, dues in () if recording.busy_room else recording.never.items():
                for due in seconds(dues):
                    if due + merged.shift(recording) <= lasted:
                        self.measured.never.add(name, due + merged.shift(recording), inf)
        self._beats = [_Beats(each, merged.shift(each), self.slots) for each in users]
        self._probe = [_Beats(each, merged.shift(each), self.slots) for each in recordings if each.busy_room]
        self._messages = self._count(_messages(merged))
        self._errors = self._count(_errors(merged))
        self._users = _present(merged, self.slots)

    def note_lost(self, at: float, count: int) -> None:
        """So many deliveries to one user never came, of messages that others received, from then on."""
        self.measured.never.row("delivery")[self.slots.at(at)].extend([inf] * count)

    def _count(self, times: Iterable[float]) -> list[int]:
        counts = [0] * self.slots.count
        for at in times:
            counts[self.slots.at(at)] += 1
        return counts

    def figures(self, slots: Collection[int], arriving: Collection[int] | None = None) -> Figures:
        """What was measured in some slots; connects and joins in those of `arriving`, if that is given."""
        measured, lasts = self.measured, self.slots.seconds(slots)
        users, probe = measured.users.all_within(slots), measured.probe.all_within(slots)
        never = measured.never.all_within(slots)
        compared = matched(measured.compared, measured.probe, slots)
        if arriving is not None:
            for times, each in ((users, measured.users), (probe, measured.probe)):
                times |= {name: more for name in ARRIVING if (more := each.within(name, arriving))}
            of_all = matched(measured.compared, measured.probe, arriving)
            never |= {name: more for name in ARRIVING if (more := self.measured.never.within(name, arriving))}
            compared |= {name: of_all[name] for name in ARRIVING if name in of_all}
        deliveries = self.measured.users.row("delivery")
        busiest = max((beats.share(slots) for beats in self._beats), default=(0.0, 0.0), key=sum)
        return Figures(
            times=users,
            probe=probe,
            compared=compared,
            seconds=lasts,
            messages=sum(self._messages[slot] for slot in slots),
            deliveries=sum(len(deliveries[slot]) for slot in slots),
            errors=sum(self._errors[slot] for slot in slots),
            lag=max((beats.lag(slots) for beats in self._beats), default=0.0),
            cpu=busiest[0],
            waited=busiest[1],
            probe_lag=max((beats.lag(slots) for beats in self._probe), default=0.0),
            probe_cpu=max((beats.share(slots)[0] for beats in self._probe), default=0.0),
            never={name: len(each) for name, each in never.items()},
        )

    def of(self, step: Step) -> Figures:
        """What was measured in a step: connects and joins in all of it, the rest after its warm-up."""
        slots = self.slots.of(step)
        return self.figures([slot for slot in slots if not self.slots.is_warm_up[slot]], slots)

    def timeline(self) -> list[Moment]:
        """What happened in each slot."""
        deliveries, probe = (each.row("delivery") for each in (self.measured.users, self.measured.probe))
        found = []
        for slot in range(self.slots.count):
            times = sorted(deliveries[slot])
            found.append(
                Moment(
                    float(slot * self.slots.width),
                    self._users[slot],
                    self._messages[slot],
                    len(times),
                    self._errors[slot],
                    percentile(times, 50),
                    percentile(times, 99),
                    percentile(sorted(probe[slot]), 99),
                    max((beats.lag([slot]) for beats in self._beats), default=0.0),
                    max((beats.share([slot])[0] for beats in self._beats), default=0.0),
                )
            )
        return found


def _mean(of: dict[int, list[float]], slots: list[int]) -> float:
    some = list(chain.from_iterable(of.get(slot, ()) for slot in slots))
    return sum(some) / len(some) if some else 0.0


def _messages(merged: Merged) -> Iterator[float]:
    """When each message was said by a user for the first time."""
    told: set[str] = set()
    for sent in chain.from_iterable(merged.said.values()):
        content = sent.frame["data"]["content"]
        if sent.conn not in merged.probes and content not in told:
            told.add(content)
            yield sent.at


def _errors(merged: Merged) -> Iterator[float]:
    """When a user was refused something, not answered, or cut off."""
    for event in merged.events:
        if getattr(event, "conn", None) in merged.probes:
            continue
        match event:
            case history.Received(frame={"type": "error"}):
                yield event.at
            case history.GaveUp() if not event.wanted.endswith(OWN_LIMIT):
                yield event.at
            case history.Closed(by="server" | "kit"):
                yield event.at


def _present(merged: Merged, slots: Slots) -> list[int]:
    """How many users were connected at the end of each slot."""
    changes = [0] * (slots.count + 1)
    here: set[int] = set()
    for event in merged.events:
        conn = getattr(event, "conn", None)
        if conn in merged.probes:
            continue
        if isinstance(event, history.Opened):
            here.add(event.conn)
            changes[slots.at(event.at)] += 1
        elif isinstance(event, history.Closed | history.Fault) and conn in here:
            here.discard(conn)
            changes[slots.at(event.at)] -= 1
    present, found = 0, []
    for slot in range(slots.count):
        present += changes[slot]
        found.append(present)
    return found
