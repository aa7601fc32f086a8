from __future__ import annotations

import pytest

from harness.bench.scaling import Costs, Load, fan_out, nodes_needed, storm

SMALL = Load(users=2_000, rooms=300, largest=200)
SIZES = SMALL.sizes()


def test_there_are_as_many_memberships_as_users_have_rooms() -> None:
    """Rooms of very different sizes, none above the largest, have all memberships; by seed."""
    assert sum(SIZES) == pytest.approx(SMALL.users * SMALL.rooms_of_user, rel=0.02)
    assert max(SIZES) <= SMALL.largest
    assert sorted(SIZES)[150] < sum(SIZES) / 300 / 2, "most rooms are small"
    assert SMALL.sizes() == SIZES != SMALL.sizes(seed=1)


@pytest.mark.parametrize("cells", [1, 2, 5])
def test_nodes_share_deliveries_and_not_reading(cells: int) -> None:
    """With twice the nodes each delivers half as much, and reads as much; cells divide the reading."""
    few, many = fan_out(SMALL, SIZES, 10, cells), fan_out(SMALL, SIZES, 20, cells)
    assert many.delivered == pytest.approx(few.delivered / 2)
    assert many.announced == pytest.approx(few.announced / 2)
    assert many.written == pytest.approx(few.written / 2)
    assert many.read == few.read == pytest.approx(fan_out(SMALL, SIZES, 10).read / cells)
    assert 0 < many.wanted < few.wanted <= few.read


def test_one_node_reads_what_it_wants() -> None:
    """A cell of one node has all members, so it has members for all that it reads."""
    alone = fan_out(SMALL, SIZES, 1)
    assert alone.wanted == pytest.approx(alone.read)
    assert fan_out(SMALL, SIZES, 5, 5).wanted == pytest.approx(alone.read / 5)


def test_more_nodes_do_not_help_against_reading() -> None:
    """Where reading alone takes a node, no number of nodes is enough; in cells the number that is told is."""
    reading = fan_out(SMALL, SIZES, 1).read
    costs = Costs(read=800 / reading, write=0.0, delivery=0.1)
    assert nodes_needed(SMALL, SIZES, costs, cells=1) is None
    nodes = nodes_needed(SMALL, SIZES, costs, cells=10)
    assert nodes is not None
    assert nodes % 10 == 0
    assert fan_out(SMALL, SIZES, nodes, 10).cores(costs) <= 0.5
    assert fan_out(SMALL, SIZES, max(nodes - 10, 10), 10).cores(costs) > 0.5 or nodes == 10


@pytest.mark.parametrize("admits", [True, False])
def test_all_come_back_from_a_small_storm(admits: bool) -> None:
    """Those whom the server can serve in time are back as soon as it can, and nothing is wasted."""
    lasts = storm(100, 50.0, admits=admits)
    assert 2.0 <= lasts.seconds < 4.0
    assert lasts.wasted == 0


def test_a_server_that_admits_all_is_not_done_with_a_large_storm() -> None:
    """It serves those who have gone, who come again; one that refuses them in time wastes nothing."""
    collapses = storm(1_000, 25.0, admits=False, limit=300.0)
    assert collapses.seconds == 300.0
    assert collapses.wasted > 5_000
    recovers = storm(1_000, 25.0, admits=True, limit=300.0)
    assert 1_000 / 25.0 <= recovers.seconds < 2 * 1_000 / 25.0
    assert recovers.wasted == 0
    assert storm(1_000, 25.0, limit=300.0) == recovers, "the same seed is the same storm"
