import contextlib
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.bench import crowd, histories, joins, stores, storms
from harness.bench.crowd import SIZE, Bytes, Crowd
from harness.bench.fanout import fan_out
from harness.bench.peers import PEERS, REFERENCE, Absent, Peer, running
from harness.bench.plan import BenchError, Plan
from harness.bench.report import as_json, page
from harness.bench.result import Part, Table, ratio, shown
from harness.bench.usage import cpu_seconds
from harness.cli.main import cli

pytestmark = pytest.mark.xdist_group("bench")
SHORT = Plan(rounds=1, seconds=0.1, members=6)


def peer(name: str) -> Peer:
    """One of the servers that are compared."""
    return next(each for each in PEERS if each.name == name)


def absent(port: int, folder: Path) -> list[str]:
    """A server that is not installed."""
    raise Absent("pip install it")


def test_every_installed_server_is_measured() -> None:
    """Each peer has a row for each number in flight, with figures above 0; missing ones are named."""
    peers = [REFERENCE, peer("naive"), peer("broadcast"), Peer("other", "not here", absent)]
    part = fan_out(SHORT, peers)
    assert [table.title for table in part.tables] == ["1 in flight", "4 in flight"]
    for table in part.tables:
        assert [row[0] for row in table.rows] == ["reference", "naive", "broadcast"]
        for row in table.rows:
            assert all(isinstance(cell, str) or cell > 0 for cell in row), row
    assert "Not measured: other (pip install it)." in part.notes
    assert any(
        re.fullmatch(r"With 4 in flight, .* 0?\d*\.\d\d times what naive pays\.", s) for s in part.sentences
    )
    assert "6 members" in str(part.pictures[0])


@pytest.mark.parametrize("name", ["c", "c batched"])
def test_the_lower_bound_is_a_loop_in_c(name: str) -> None:
    """If there is a compiler, the C loop serves many clients, one message after the other."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    part = fan_out(Plan(rounds=1, seconds=0.1, members=3), [peer(name)])
    assert [row[0] for table in part.tables for row in table.rows] == [name]


def test_many_join_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a row for each number of people, of the reference and of a broadcast of its frames."""
    monkeypatch.setattr(joins, "PEOPLE", (5, 12))
    part = joins.joins(SHORT)
    assert [[row[0] for row in table.rows] for table in part.tables] == [["5", "12"], ["5", "12"]]
    assert all(
        isinstance(cell, str) or cell > 0 for table in part.tables for row in table.rows for cell in row
    )


def test_all_come_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody has what it missed, in one room and in several, while somebody else is served."""
    monkeypatch.setattr(storms, "ROOMS", (3,))
    monkeypatch.setattr(storms, "_WATCHED", 0.0)
    part = storms.storms(SHORT)
    [[rooms, *figures]] = part.tables[0].rows
    assert rooms == "3"
    assert all(isinstance(figure, float) and figure > 0 for figure in figures)


@contextmanager
def answering(answer: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """A server without a protocol that answers its client's bytes with several sends; returns its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with (
            client,
            contextlib.suppress(ConnectionError),
        ):  # a client that has counted all may leave before the last byte
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := client.recv(1 << 20):
                for piece in answer(data):
                    client.sendall(piece)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join()
        listener.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd with a short timeout."""
    monkeypatch.setattr(crowd, "_QUIET", 0.1)
    monkeypatch.setattr(crowd, "PATIENCE", 1.0)


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_a_message_may_come_in_pieces(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """A message that is split anywhere, in its mark or behind it, is counted and timed once."""
    monkeypatch.setattr(crowd, "_READ", most)
    with answering(lambda data: [data]) as port:
        members = Crowd(port, Bytes(), 1)
        try:
            members.settle()
            talk = members.talk(1, 0.05)
        finally:
            members.close()
    assert talk.messages == talk.deliveries == len(talk.latencies)


def test_a_length_is_no_mark() -> None:
    """What a frame's header may hold is not counted."""
    with answering(lambda data: [b"\x81\x7e\x00\xf0" + data]) as port:
        members = Crowd(port, Bytes(), 1)
        try:
            members.settle()
            talk = members.talk(1, 0.05)
        finally:
            members.close()
    assert talk.messages == talk.deliveries


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda data: [], "did not hear a message just once"),
        (lambda data: [data + data], "did not hear a message just once"),
    ],
)
def test_a_server_that_loses_or_repeats_is_not_measured(
    answer: Callable[[bytes], list[bytes]], says: str
) -> None:
    """Figures of a server that does not deliver would mean nothing."""
    with answering(answer) as port:
        members = Crowd(port, Bytes(), 1)
        try:
            with pytest.raises(BenchError, match=says):
                members.settle()
        finally:
            members.close()


def test_a_server_that_does_not_start_is_reported_with_its_last_output() -> None:
    """Not as a refused connection, but with the server's output."""
    broken = Peer("broken", "", lambda port, folder: ["sh", "-c", "echo cannot bind; exit 3"])
    with pytest.raises(BenchError, match=r"exited with code 3 .*: cannot bind"), running(broken):
        pass


def test_the_cpu_of_a_server_that_ended_is_not_measured() -> None:
    """While it runs it has used some; afterwards the report says that it has ended."""
    with running(REFERENCE) as (_, process):
        assert cpu_seconds(process) > 0
    with pytest.raises(BenchError, match="it ended"):
        cpu_seconds(process)


def test_stores_alone_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each store keeps what it is asked to save, for each number of concurrent savers."""
    monkeypatch.setattr(stores, "SENDERS", (1, 5))
    rates = stores._alone(SHORT, Part("", ""))
    assert {("reference", 1), ("reference", 5), ("a file each", 5)} <= set(rates)
    assert all(each.rate > 0 for of in rates.values() for each in of)


def test_the_whole_server_is_measured_with_each_sender_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sender receives its own messages only."""
    rate = stores._talking(REFERENCE, 4, 0.1)
    assert rate.rate > 0
    assert rate.p99 >= rate.p50 > 0


def test_histories_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms of several lengths are read, directly and through the server, and return what they hold."""
    monkeypatch.setattr(histories, "LENGTHS", (100, 150, 200))
    monkeypatch.setattr(histories, "_ASKS", 3)
    part = histories.histories(SHORT)
    assert [row[0] for row in part.tables[0].rows] == ["100", "150", "200"]
    assert all(isinstance(cell, float) and cell > 0 for row in part.tables[0].rows for cell in row[1:])


def test_the_order_of_a_round_is_random_and_complete() -> None:
    """Every round has each server once, in an order that depends on the seed."""
    order = list(Plan(rounds=3, seed=1).interleaved("abcd"))
    assert [number for number, _ in order] == [1] * 4 + [2] * 4 + [3] * 4
    assert all(sorted(each for n, each in order if n == number) == list("abcd") for number in (1, 2, 3))
    assert order == list(Plan(rounds=3, seed=1).interleaved("abcd"))
    assert order != list(Plan(rounds=3, seed=2).interleaved("abcd"))


def test_figures_are_rounded_and_ratios_are_of_rounds() -> None:
    """Three figures are enough, and the noise of a round affects both sides of a ratio."""
    assert [shown(each) for each in ("x", 3, 1234.5, 0.12345, 12.345)] == ["x", "3", "1,234", "0.123", "12.3"]
    assert ratio([1, 20, 3], [2, 40, 4]) == 0.5


def test_the_report_is_complete_in_each_form() -> None:
    """Tables, sentences and names are in the JSON and on the page, which runs no script."""
    part = Part("fan-out", "What?", [Table("T", ["server", "cpu"], [["a<b", 1.5]])], ["It is so."])
    [read] = json.loads(as_json([part]))["parts"]
    assert read["tables"] == [{"title": "T", "rows": [{"server": "a<b", "cpu": 1.5}]}]
    html = page([part])
    assert "a&lt;b" in html
    assert "It is so." in html
    assert "<script" not in html


def test_wrong_usage_is_reported(tmp_path: Path) -> None:
    """An unknown part and a missing folder are wrong usage, before anything is measured."""
    unknown = CliRunner().invoke(cli, ["bench", "speed"])
    assert "'speed' is not one of 'fan-out'" in unknown.output
    nowhere = CliRunner().invoke(cli, ["bench", "--json", str(tmp_path / "no" / "x.json")])
    assert "there is no such folder to write into" in nowhere.output
    assert (unknown.exit_code, nowhere.exit_code) == (2, 2)


def test_a_message_has_the_stated_size() -> None:
    """What senders send has the size given in the tables."""
    said: list[bytes] = []

    def echo(data: bytes) -> list[bytes]:
        said.append(data)
        return [data]

    with answering(echo) as port:
        members = Crowd(port, Bytes(), 1)
        try:
            members.settle()
        finally:
            members.close()
    assert [len(each) for each in said] == [SIZE]
