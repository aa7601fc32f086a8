from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.send_queue import MAX_WAITING, TRANSPORT_BUFFER, Replay, SendQueue
from tests.lab.helpers import PROPERTY

BIG = bytes(60_000)


def holding(*frames: bytes) -> SendQueue:
    """A queue in which these frames wait."""
    queue = SendQueue()
    assert queue.put(list(frames), is_writable=False) == b""
    return queue


def test_a_tick_is_written_in_one_piece_if_nothing_waits() -> None:
    """If nothing waits and the transport has room, all that is put is one piece, and nothing is left."""
    queue = SendQueue()
    assert queue.put([b"one", Replay(b"two"), b"three"], is_writable=True) == b"onetwothree"
    assert (list(queue.waiting), queue.live_bytes, queue.released_bytes) == ([], 0, 11)
    assert queue.put([], is_writable=True) == b"", "it is written once"


def test_a_full_transport_lets_all_wait() -> None:
    """If the transport is full, nothing is written now; the frames wait and count, replays do not."""
    queue = holding(b"one", Replay(b"two"), b"three")
    assert list(queue.waiting) == [b"one", b"two", b"three"]
    assert (queue.live_bytes, queue.released_bytes) == (8, 0)


def test_nothing_overtakes_what_waits() -> None:
    """As long as frames wait, later ones wait behind them, also if the transport has room again."""
    queue = holding(b"one")
    assert queue.put([b"two"], is_writable=True) == b""
    assert queue.take_waiting() == b"onetwo"
    assert queue.put([b"three"], is_writable=True) == b"three"


def test_a_burst_is_written_in_parts() -> None:
    """What is too much for one write waits, and is taken in order, in pieces of about one buffer."""
    frames = [bytes([number]) * 60_000 for number in range(20)]
    queue = SendQueue()
    assert queue.put(frames, is_writable=True) == b""
    pieces = []
    while queue.waiting:
        pieces.append(queue.take_waiting())
    assert b"".join(pieces) == b"".join(frames)
    assert all(TRANSPORT_BUFFER <= len(piece) < TRANSPORT_BUFFER + len(BIG) for piece in pieces[:-1])
    assert queue.take_waiting() == b""


def test_a_tick_that_just_fits_is_one_write() -> None:
    """A tick of exactly the transport's buffer is written at once; one byte more waits."""
    for extra, expected in ((0, TRANSPORT_BUFFER), (1, 0)):
        frames = [bytes(TRANSPORT_BUFFER), bytes(extra)]
        assert len(SendQueue().put(frames, is_writable=True)) == expected


def test_a_frame_larger_than_a_write_is_taken_whole() -> None:
    """A frame is never divided, however large it is."""
    queue = holding(bytes(3 * TRANSPORT_BUFFER), b"next")
    assert len(queue.take_waiting()) == 3 * TRANSPORT_BUFFER
    assert queue.take_waiting() == b"next"


def test_too_far_behind_is_a_byte_beyond_the_limit() -> None:
    """MAX_WAITING live bytes may wait for a reader, and a replay of any size; not one byte more."""
    queue = holding(bytes(MAX_WAITING - 1), Replay(bytes(2 * MAX_WAITING)), b"x")
    assert not queue.is_too_far_behind
    queue.put([b"x"], is_writable=False)
    assert queue.is_too_far_behind


def test_a_reader_that_reads_on_catches_up() -> None:
    """What was taken no longer counts, and a replay that is taken is not subtracted from the rest."""
    queue = holding(bytes(TRANSPORT_BUFFER), Replay(bytes(TRANSPORT_BUFFER)), b"live")
    sizes = [queue.live_bytes]
    while queue.waiting:
        queue.take_waiting()
        sizes.append(queue.live_bytes)
    assert sizes == [TRANSPORT_BUFFER + 4, 4, 4, 0]


def test_dropped_frames_are_gone() -> None:
    """After `drop` nothing waits or counts; what was taken before stays taken; and the queue can be used."""
    queue = holding(*[BIG] * 200)
    queue.take_waiting()
    taken = queue.released_bytes
    assert queue.is_too_far_behind
    queue.drop()
    assert (list(queue.waiting), queue.live_bytes, queue.released_bytes) == ([], 0, taken)
    assert not queue.is_too_far_behind
    assert queue.put([b"again"], is_writable=True) == b"again"


frames = st.builds(
    lambda kind, size, fill: kind(bytes([fill]) * size),
    st.sampled_from([bytes, Replay]),
    st.sampled_from([1, 300, 60_000, TRANSPORT_BUFFER - 1, TRANSPORT_BUFFER + 1]),
    st.integers(0, 255),
)
ticks = st.tuples(st.lists(frames, max_size=4), st.booleans())


@PROPERTY
@given(st.lists(st.one_of(ticks, st.none()), max_size=30))
def test_any_order_of_events_keeps_every_frame_in_order(
    history: list[tuple[list[bytes], bool] | None],
) -> None:
    """Whatever is put, and whenever the transport has room: all is written once, in order, and counted."""
    queue, posted, written = SendQueue(), b"", b""
    for tick in history:
        if tick is None:
            written += queue.take_waiting()
        else:
            posted += b"".join(tick[0])
            written += queue.put(*tick)
        assert posted == written + b"".join(queue.waiting)
        assert queue.released_bytes == len(written)
        assert queue.live_bytes == sum(len(each) for each in queue.waiting if not isinstance(each, Replay))
    while queue.waiting:
        written += queue.take_waiting()
    assert (written, queue.live_bytes) == (posted, 0)
