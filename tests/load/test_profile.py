"""The users' profile: Zipf's law, human pace, and the same for the same seed."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from harness.load.figures import percentile, rate
from harness.load.profile import Habits, Popularity, UserProfile


def test_rooms_are_chosen_by_zipfs_law() -> None:
    """The k-th room's share is 1/k of the first one's, all shares are 1, and choices follow them."""
    popularity = Popularity(5)
    shares = [popularity.share(room) for room in range(5)]
    assert sum(shares) == pytest.approx(1)
    assert [shares[0] / share for share in shares] == pytest.approx([1, 2, 3, 4, 5])
    rng = Random(1)
    counts = Counter(popularity.choose(rng) for _ in range(20_000))
    for room, share in enumerate(shares):
        assert counts[room] / 20_000 == pytest.approx(share, abs=0.02)


def test_rooms_of_a_user_are_different() -> None:
    """Several rooms are never the same twice, and never more than there are."""
    rng = Random(1)
    for _ in range(100):
        assert len(set(Popularity(4).choose_some(rng, 3))) == 3
    assert sorted(Popularity(2).choose_some(rng, 3)) == [0, 1]


def test_users_talk_every_five_to_fifteen_seconds() -> None:
    """The mean of each user's pauses is in that range, and a tenth of it at ten times the pace."""
    for seed in range(5):
        for pace in (1.0, 10.0):
            profile = UserProfile(Random(seed), Habits(3, pace))
            mean = sum(profile.rest() for _ in range(20_000)) / 20_000 * pace
            assert 4.8 < mean < 15.3


def test_profile_depends_on_the_seed() -> None:
    """The same seed gives the same behaviour, and another seed another."""

    def life(seed: str) -> list[object]:
        profile = UserProfile(Random(seed), Habits())
        return [profile.favourites(), *(each() for each in (profile.rest, profile.action, profile.words) * 5)]

    assert life("1/0/1") == life("1/0/1")
    assert life("1/0/1") != life("1/0/2")


def test_percentiles_are_values_that_occurred() -> None:
    """The nearest rank: p50 of 1..100 is 50, p99 is 99; of no values it is 0."""
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, each) for each in (0, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]
    assert percentile([7.0], 99) == 7.0
    assert percentile([], 99) == 0.0


def test_rate_without_duration_is_none() -> None:
    """If no time passed there is no rate, and no division by zero."""
    assert rate(10, 4.0) == 2.5
    assert rate(1, 0.0) == 0.0


def test_what_has_a_rate_is_due_by_its_own_clock() -> None:
    """However late the last time was; so the rate is kept, and only planned absences move it."""
    profile = UserProfile(Random("1"), Habits(rate=10.0, churn=1.0, size=100))
    now, done = 1000.0, Counter[str]()
    while now < 1060.0:
        action, due = profile.upcoming(now)
        assert profile.upcoming(now + 5.0) == (action, due), "until it is taken"
        now = max(now, due) + (0.5 if done["talk"] % 50 == 0 else 0.0)
        assert profile.take() == (action, due)
        done[action] += 1
    assert 500 < done["talk"] < 700
    assert 35 < done["reconnect"] < 85
    assert set(done) == {"talk", "reconnect"}
    _, due = profile.upcoming(now)
    profile.stay_away(3.0)
    assert profile.upcoming(now)[1] == pytest.approx(due + 3.0)


def test_a_scenarios_own_act_has_the_rate() -> None:
    """Instead of talk: it is done so often a second; without a rate, one after the other as ever."""
    profile = UserProfile(Random("1"), Habits(rate=10.0))
    profile.act_at_rate()
    now, done = 1000.0, Counter[str]()
    while now < 1060.0:
        now = max(now, profile.upcoming(now)[1])
        done[profile.take()[0]] += 1
    assert 500 < done["act"] < 700
    assert set(done) == {"act"}
    other = UserProfile(Random("1"), Habits())
    other.act_at_rate()
    assert other.upcoming(1000.0)[0] == "act"


def test_people_without_a_rate_do_one_thing_after_the_other() -> None:
    """Then the next is due some time after the last was done; with a churn, that alone has a clock."""
    profile = UserProfile(Random("1"), Habits())
    action, due = profile.upcoming(1000.0)
    assert (action, due > 1000.0) == ("act", True)
    assert profile.take()[0] == "act"
    assert profile.action() in ("talk", "look_back", "wander", "reconnect")
    assert profile.upcoming(5000.0)[1] > 5000.0
    busy = UserProfile(Random("1"), Habits(churn=0.001))
    assert "reconnect" not in {busy.action() for _ in range(300)}
