"""A command as words; what only a shell understands is refused."""

from __future__ import annotations

import pytest

from harness.judged.commands import words_of
from harness.judged.problems import BadTarget


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("cd app && python server.py", "cd"),
        ("npm ci&&npm start", "&&"),
        ("PORT=8080 python server.py", "PORT=8080"),
        ("python server.py --port $PORT", "$PORT"),
        ("python server.py --port ${PORT:-1}", "${PORT"),
        ("python server.py `cat port`", "`"),
        ("python server.py > log.txt", ">"),
        ("python server.py 2>&1", "2>&1"),
        ("make; ./server", ";"),
        ("python server.py &", "&"),
        ("yes | ./server", "|"),
        ("exec node server.js", "exec"),
        (". venv/bin/activate", "."),
        ("python ~/server.py", "~/"),
    ],
)
def test_what_only_a_shell_understands(command: str, part: str) -> None:
    """It is named, and `sh -c` is offered, whose words are right."""
    with pytest.raises(BadTarget) as caught:
        words_of(command)
    assert caught.value.key == "target.no_shell"
    assert caught.value.params["part"] == part
    assert words_of(str(caught.value.params["by_shell"])) == ("sh", "-c", command)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("node server.js", ("node", "server.js")),
        ('sh -c "cd app && ./server $PORT"', ("sh", "-c", "cd app && ./server $PORT")),
        ("sh -c 'cd app; PORT=1 ./server > log'", ("sh", "-c", "cd app; PORT=1 ./server > log")),
        ("java -cp lib/* Main", ("java", "-cp", "lib/*", "Main")),
        ("env PORT=1 ./server --name=a&b", ("env", "PORT=1", "./server", "--name=a&b")),
        (r"./my\ server --price \$5", ("./my server", "--price", "$5")),
        ("./server --when='a|b' --is=x==y", ("./server", "--when=a|b", "--is=x==y")),
        ("python -c 'print(`1`)'", ("python", "-c", "print(`1`)")),
    ],
)  # fmt: skip
def test_what_needs_no_shell(command: str, words: tuple[str, ...]) -> None:
    """Quoted, it is for the program that the command names; and not all that a shell reads is for it."""
    assert words_of(command) == words


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("python src\\server.py", "target.lost_backslash"),
        (".\\run.bat", "target.lost_backslash"),
        ("node 'server.js", "target.unreadable_command"),
        ("  ", "target.empty_command"),
    ],
)
def test_what_is_no_command(command: str, key: str) -> None:
    """What would be read as something else is refused, too."""
    with pytest.raises(BadTarget) as caught:
        words_of(command)
    assert caught.value.key == key
