"""What programs do with the standard library, in both worlds: the result is the same, or *not simulated*.

Each line of the tables is put into a right server, which runs it at each of its starts. In the simulated
world that server plays a scene that starts it three times in one Python process; each time the line must give
what it gives in a real process. What the simulated world lacks must be reported by name and line, and must
never fail code that is right in the live world.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from harness.judged import targets
from harness.judged.targets import Target
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case, Run
from harness.running.simulate import simulate
from harness.scenarios.common import SMALL
from harness.scenarios.script import NOBODY, Act, Script
from harness.verdict.outcome import Outcome
from harness.worlds.sim import source_locations as places
from harness.worlds.sim.hostloop import HostLoop
from harness.zoo.single_file import PLAIN

pytestmark = pytest.mark.xdist_group("sim")


def programs(text: str) -> list[str]:
    """The pieces of a table, between blank lines, without its headings."""
    return [each for each in text.strip().split("\n\n") if not each.startswith("# ")]


AT_THE_START = programs(r"""
# sys: standard files

return sys.stdout.fileno(), sys.stderr.fileno(), sys.stdin.fileno()

return sys.stdout.isatty(), sys.stderr.isatty(), sys.stdin.isatty(), os.isatty(1)

return sys.stdout.name, sys.stderr.name, sys.stdin.name, sys.stdout.mode, sys.stdin.mode

return sys.stdout.encoding.lower(), sys.stdout.errors, sys.stderr.errors, sys.stdout.newlines

return sys.stdout.write_through, sys.stdout.closed, sys.stdout.writable(), sys.stdout.readable()

return isinstance(sys.stdout, io.TextIOWrapper), sys.stdout is sys.__stdout__

sys.stdout.reconfigure(line_buffering=True, errors='replace')
return (sys.stdout.line_buffering, sys.stdout.errors)

return sys.stdout.write('text\n'), sys.stdout.buffer.write(b'bytes\n'), sys.stdout.buffer.flush()

return sys.stdout.buffer.fileno(), sys.stdout.buffer.name, sys.stdout.buffer.mode

sys.stdout.writelines(['one\n', 'two\n']); print('three', flush=True); print('four', file=sys.stderr)

sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8', line_buffering=True)
print('wrapped')

sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='latin-1'); print('é', flush=True)

sys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer); print('é')

sys.stdout.close(); sys.stdout = sys.stderr; return sys.__stdout__.closed

sys.stdout.nothing

sys.stdout.read()

print('\ud800')

return os.write(1, b'out\n'), os.write(2, b'err\n')

with open(1, 'w', closefd=False) as file: return file.write('text\n')

with os.fdopen(2, 'wb', closefd=False) as file: return file.write(b'bytes\n')

log = os.open('own.log', os.O_CREAT | os.O_WRONLY); return os.dup2(log, 1), os.dup2(log, 2)

return sys.stdin.read(), sys.stdin.readline(), list(sys.stdin), sys.stdin.buffer.read(), os.read(0, 10)

os.get_terminal_size()

return shutil.get_terminal_size((80, 24)).columns

with contextlib.redirect_stdout(io.StringIO()) as text: print('caught')
return text.getvalue()

# sys: what is set for the whole process, and must be as new at the next start

before = sys.excepthook is sys.__excepthook__; sys.excepthook = print; return before

before = sys.unraisablehook is sys.__unraisablehook__; sys.unraisablehook = print; return before

before = threading.excepthook is threading.__excepthook__; threading.excepthook = print; return before

before = sys.path.count('/own'); sys.path.append('/own'); return before

before = sys.getswitchinterval(); sys.setswitchinterval(0.5); return before

before = sys.getrecursionlimit(); sys.setrecursionlimit(5000); return before

before = (sys.gettrace(), sys.getprofile())
sys.settrace(lambda *_: None)
sys.setprofile(None)
return before

before = hasattr(sys, 'own'); sys.own = 1; return before

before = len(sys.meta_path); sys.meta_path.insert(0, importlib.machinery.PathFinder); return before > 9

before = hasattr(builtins, '_'); builtins._ = str; return before

# json, warnings, and other modules that programs change

class Own(json.JSONEncoder): pass
old = json.JSONEncoder.default
json.JSONEncoder.default = lambda self, thing: old(self, thing)
return old.__name__

before = type(json.dumps).__name__; json.dumps = functools.partial(json.dumps); return before

before = hasattr(json, 'is_patched'); json.is_patched = True; return before

before = len(warnings.filters)
warnings.filterwarnings('error', 'own')
warnings.simplefilter('ignore')
return len(warnings.filters) - before

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter('always'); warnings.warn('own')
return len(told)

before = copyreg.dispatch_table.get(slice)
copyreg.pickle(slice, lambda each: (slice, (1,)))
return before

before = mimetypes.guess_type('a.own')[0]; mimetypes.add_type('text/own', '.own'); return before

before = (set,) in [key[:1] for key in sqlite3.adapters]
sqlite3.register_adapter(set, str)
return before

before = decimal.getcontext().prec; decimal.getcontext().prec = 5; return before

before = locale.setlocale(locale.LC_ALL); locale.setlocale(locale.LC_ALL, 'C.UTF-8'); return before

before = socket.getdefaulttimeout(); socket.setdefaulttimeout(3.0); return before

before = 'own' in csv.list_dialects()
csv.register_dialect('own', delimiter=';')
csv.unregister_dialect('own')
return before

shutil.register_archive_format('own', print); return len(shutil.get_archive_formats())

codecs.register(lambda name: None); return codecs.lookup('utf-8').name

@functools.singledispatch
def own(thing): return 'thing'
own.register(int, lambda thing: 'int')
return own(1), own('')

# the process

before = os.umask(0o077); return before

os.chdir('..'); os.environ['OWN'] = '1'; return os.getenv('OWN'), len(os.environ.copy()) > 3

before = os.environ.get('OWN'); os.environ['OWN'] = '1'; del os.environ['OWN']; return before

os.environ['TZ'] = 'EST+5'; time.tzset(); return time.localtime(0).tm_hour, time.tzname[0]

return os.cpu_count(), os.getuid(), os.name, len(os.times()), os.getloadavg()[0] >= 0

return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
return (resource.getrlimit(resource.RLIMIT_NOFILE)[0], soft > 64)

return os.nice(0) - os.nice(0), os.nice(1) - os.nice(0)

ends = os.pipe(); os.write(ends[1], b'x'); return os.read(ends[0], 5), os.close(ends[0])

return atexit.register(print, 'bye') is print, atexit.unregister(print)

before = gc.isenabled()
gc.disable()
gc.freeze()
gc.set_threshold(5000)
return (before, gc.isenabled())

before = gc.get_threshold(); gc.set_threshold(9, 9, 9); gc.enable(); return before, gc.collect() >= 0

before = tracemalloc.is_tracing(); tracemalloc.start(); return before, tracemalloc.is_tracing()

faulthandler.enable(); faulthandler.register(signal.SIGUSR1); return faulthandler.is_enabled()

class Thing: pass
return weakref.finalize(Thing(), print, 'gone').alive

return platform.system(), socket.gethostname(), getpass.getuser() != ''

# signal

before = signal.signal(signal.SIGUSR1, print)
return (before == signal.SIG_DFL, signal.getsignal(10) is print)

return str(signal.getsignal(signal.SIGTERM)), str(signal.getsignal(signal.SIGUSR1))

return signal.set_wakeup_fd(-1), signal.siginterrupt(signal.SIGUSR1, False)

return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])), len(signal.sigpending())

seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
os.kill(os.getpid(), 10)
return seen

signal.pthread_sigmask(signal.SIG_BLOCK, [10]); signal.raise_signal(10); return [*signal.sigpending()]

signal.signal(signal.SIGKILL, print)

signal.signal(signal.SIGTERM, 'no handler')

# logging

logging.basicConfig(level=logging.DEBUG, stream=sys.stdout); return len(logging.getLogger().handlers)

before = logging.getLevelName(5); logging.addLevelName(5, 'TRACE'); return before

class Own(logging.Logger): pass
before = logging.getLoggerClass().__name__; logging.setLoggerClass(Own); return before

before = logging.getLogRecordFactory().__name__
logging.setLogRecordFactory(lambda *a, **m: logging.LogRecord(*a, **m))
return before

before = warnings.showwarning.__module__; logging.captureWarnings(True); return before

before = logging.root.manager.disable; logging.disable(logging.INFO); return before

handler = logging.StreamHandler()
logging.getLogger('own').addHandler(handler)
return handler.stream.name

log = logging.getLogger('own')
log.addHandler(logging.handlers.RotatingFileHandler('own.log', maxBytes=99))
log.warning('x' * 200)
log.warning('y')
return len(log.handlers)

logging.config.dictConfig({
    'version': 1,
    'handlers': {'out': {'class': 'logging.StreamHandler', 'stream': 'ext://sys.stdout'}},
    'root': {'handlers': ['out'], 'level': 'INFO'},
})
logging.info('set up')
return logging.root.level

class Where(logging.Handler):
    def emit(self, record): seen.append((record.funcName, record.lineno > 0))
seen = []; log = logging.getLogger('own'); log.addHandler(Where()); log.error('here')
try: 1 / 0
except ZeroDivisionError: log.exception('there')
return seen

# threading, queue, multiprocessing

event = threading.Event(); event.set(); return event.wait(), event.is_set()

return threading.current_thread().name, threading.active_count(), threading.main_thread().is_alive()

lock = threading.Lock(); return lock.acquire(timeout=1), lock.locked(), lock.acquire(blocking=False)

lock = threading.RLock(); return lock.acquire(), lock.acquire(), lock.release()

lock = threading.Semaphore(2); return lock.acquire(), lock.acquire(), lock.acquire(blocking=False)

own = threading.local(); own.name = 'a'; return own.name

with threading.Condition() as condition: return condition.notify_all()

items = queue.Queue(1); items.put_nowait(1); return items.full(), items.get(), items.empty()

queue.Queue().get_nowait()

multiprocessing.set_start_method('spawn'); return multiprocessing.get_start_method()

return multiprocessing.current_process().name, multiprocessing.cpu_count() == os.cpu_count()

# asyncio

before = type(asyncio.get_event_loop_policy()).__name__
class Own(asyncio.DefaultEventLoopPolicy): pass
asyncio.set_event_loop_policy(Own()); return before

loop = asyncio.get_event_loop_policy().new_event_loop(); loop.close(); return loop.is_closed()

async def one(): return 1
with asyncio.Runner() as runner: return runner.run(one()), runner.run(one())

async def one(): return asyncio.get_running_loop().get_debug()
return asyncio.run(one(), debug=True)

async def one(): return 1
loop = asyncio.new_event_loop(); asyncio.set_event_loop(loop)
return loop.run_until_complete(one()), loop.close()

# time, random, files

before = time.monotonic()
time.sleep(0.01)
return (time.monotonic() - before > 0.009, time.perf_counter() > 0)

return time.time() > 1e9, time.strftime('%Y') >= '2024', time.get_clock_info('monotonic').monotonic

random.seed(1); return random.random(), random.randint(1, 6), random.Random(2).random()

return len(secrets.token_hex(4)), len(os.urandom(3)), uuid.uuid4().version, uuid.uuid1().version

with tempfile.TemporaryDirectory() as folder: return os.listdir(folder)

with tempfile.NamedTemporaryFile('w') as file:
    file.write('x')
    file.flush()
    return os.fstat(file.fileno()).st_size

before = tempfile.tempdir; tempfile.tempdir = '/own'; return before

database = sqlite3.connect(':memory:', timeout=1); return database.execute('SELECT 1').fetchone()

return len(traceback.format_stack()) > 0, inspect.currentframe().f_code.co_name
""")
"""What comes to the same in both worlds, at each start of a program, before it has a loop."""

IN_THE_LOOP = programs(r"""
loop = asyncio.get_running_loop()
loop.set_debug(True)
loop.slow_callback_duration = 0.2
await asyncio.sleep(0)
return (loop.get_debug(), loop.slow_callback_duration, loop.set_debug(False))

seen = []
loop = asyncio.get_running_loop()
loop.set_exception_handler(lambda loop, told: seen.append(1))
loop.call_soon(int, 'x')
await asyncio.sleep(0.01)
return (seen, loop.get_exception_handler() is None)

return await asyncio.to_thread(sum, [1, 2]), await asyncio.wait_for(asyncio.sleep(0, 'x'), 1)

async with asyncio.TaskGroup() as group: task = group.create_task(asyncio.sleep(0, 5), name='own')
return task.result(), task.get_name()

try:
    async with asyncio.timeout(0.01): await asyncio.sleep(1)
except TimeoutError: return 'late'

name = contextvars.ContextVar('name', default='a')
token = name.set('b')
name.reset(token)
return name.get()

handle = asyncio.get_running_loop().call_later(9, print)
handle.cancel()
return (handle.cancelled(), handle.when() > 0)

loop = asyncio.get_running_loop()
loop.add_signal_handler(signal.SIGUSR1, print)
return (loop.remove_signal_handler(signal.SIGUSR1), loop.remove_signal_handler(signal.SIGUSR1))

loop = asyncio.get_running_loop(); return hasattr(loop, 'run_forever'), hasattr(loop, 'nothing')

loop = asyncio.get_running_loop()
loop.set_task_factory(None)
return (loop.is_running(), loop.is_closed())

server = await asyncio.start_server(print, '127.0.0.1', 0)
server.close()
await server.wait_closed()
return (server.is_serving(), len(server.sockets))


async def hello(reader, writer):
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()
server = await asyncio.start_server(hello, '127.0.0.1', 0)
reader, writer = await asyncio.open_connection('127.0.0.1', server.sockets[0].getsockname()[1])
writer.write(b'hello\n')
heard = await reader.read()
writer.close()
server.close()
return (heard, writer.get_extra_info('sockname')[0], writer.get_extra_info('nothing'))

return (await asyncio.get_running_loop().getaddrinfo('127.0.0.1', 80, type=socket.SOCK_STREAM))[0][4]

loop = asyncio.get_running_loop(); return type(loop.create_future()).__name__, loop.time() >= 0

# what belongs to a thread, and is asked for by another

database = sqlite3.connect(':memory:'); return await asyncio.to_thread(database.execute, 'SELECT 1')

database = sqlite3.connect(':memory:'); rows = database.execute('SELECT 1')
return await asyncio.to_thread(rows.fetchall)

database = sqlite3.connect(':memory:'); return await asyncio.to_thread(database.commit)

database = sqlite3.connect(':memory:'); return await asyncio.to_thread(database.__exit__, None, None, None)

database = sqlite3.connect(':memory:', check_same_thread=False)
return (await asyncio.to_thread(database.execute, 'SELECT 1')).fetchall()

pool = concurrent.futures.ThreadPoolExecutor(1); loop = asyncio.get_running_loop()
database = await loop.run_in_executor(pool, sqlite3.connect, ':memory:')
return await loop.run_in_executor(pool, lambda: database.execute('SELECT 1').fetchall())

database = await asyncio.to_thread(sqlite3.connect, ':memory:'); return database.execute('SELECT 1')

return await asyncio.to_thread(asyncio.get_event_loop)

return await asyncio.to_thread(asyncio.get_running_loop)

return await asyncio.to_thread(asyncio.Future)

return await asyncio.to_thread(asyncio.ensure_future, asyncio.sleep(0))

return await asyncio.to_thread(lambda: threading.current_thread().name), threading.current_thread().name

pool = concurrent.futures.ThreadPoolExecutor(2, 'own'); loop = asyncio.get_running_loop()
return await loop.run_in_executor(pool, lambda: threading.current_thread().name), pool.shutdown()

return await asyncio.to_thread(threading.get_ident) == threading.get_ident()

return await asyncio.to_thread(lambda: threading.current_thread() is threading.main_thread())

own = threading.local(); own.name = 'a'; return await asyncio.to_thread(lambda: hasattr(own, 'name'))

class Own(threading.local):
    def __init__(self): self.name = threading.current_thread().name
own = Own(); return await asyncio.to_thread(lambda: own.name), own.name
""")
"""What does so in its loop."""

LACKING = {
    "threading.Thread(target=print).start()": "thread",
    "threading.Timer(0.01, print).start()": "thread",
    "threading.Event().wait(0.01)": "thread",
    "queue.Queue().get(timeout=0.01)": "thread",
    "_thread.start_new_thread(print, ())": "thread",
    "concurrent.futures.ThreadPoolExecutor().submit(print).result()": "thread",
    "multiprocessing.Process(target=print).start()": "process",
    "multiprocessing.get_context('spawn').Process(target=print).start()": "process",
    "subprocess.run(['true'])": "process",
    "os.system('true')": "process",
    "await asyncio.create_subprocess_exec('true')": "process",
    "socket.create_server(('127.0.0.1', 0))": "socket",
    "socket.socketpair()": "socket",
    "asyncio.get_running_loop().add_reader(0, print)": "socket",
    "asyncio.SelectorEventLoop()": "socket",
    "asyncio.Runner(loop_factory=mock.Mock).get_loop()": "unittest.mock.Mock",
    "select.select([], [], [], 0.01)": "select.select()",
    "signal.sigwait([signal.SIGUSR1])": "signal.sigwait()",
    "faulthandler.dump_traceback_later(99)": "faulthandler.dump_traceback_later()",
    "asyncio.get_running_loop()._selector.get_map()": "loop._selector",
    "(await asyncio.start_server(print, '127.0.0.1', 0)).sockets[0].makefile": "socket.makefile",
    "os.environ.encodekey('A')": "os.environ.encodekey",
    "threading.Lock()._at_fork_reinit()": "lock._at_fork_reinit",
    "asyncio.get_running_loop()._make_socket_transport(None, None)": "socket",
}
"""What the simulated world does not have, and what the report calls it: a kind of thing, or its name."""

SCENE = Script(["alice"], [0], [Act(0.0, 0, "say"), Act(0.1, NOBODY, "restart"), Act(0.2, NOBODY, "kill")])
"""A message, a restart and a kill: the server starts three times."""

_NAMES = (
    "_thread asyncio atexit builtins codecs concurrent.futures contextlib contextvars copyreg csv decimal "
    "faulthandler functools gc getpass importlib.machinery inspect io json locale logging logging.config "
    "logging.handlers mimetypes multiprocessing os platform queue random resource secrets select shutil "
    "signal socket sqlite3 subprocess sys tempfile threading time traceback tracemalloc unittest.mock uuid "
    "warnings weakref"
)
_BEGINNING = f"""
import {", ".join(_NAMES.split())}
from json import dumps as json_dumps
from unittest import mock

def tell_outcome(number, kind, value):
    with open(os.environ["OUTCOMES"], "a") as file:
        file.write(json_dumps([number, kind, value], default=repr) + "\\n")
"""
_BEFORE_THE_LOOP = """
def probe():
{body}
try:
    tell_outcome({number}, "returns", probe())
except Exception as error:
    tell_outcome({number}, "raises", type(error).__name__)
"""
_IN_THE_LOOP = """
async def probe():
{body}
try:
    tell_outcome({number}, "returns", await probe())
except Exception as error:
    tell_outcome({number}, "raises", type(error).__name__)
"""


class Batch(NamedTuple):
    """Some lines, by number, that one program runs, before its loop or in it."""

    lines: dict[int, str]
    looped: bool

    def source(self) -> str:
        """Code that runs them and writes down their results; in the loop, `probed` is to be awaited."""
        code = _IN_THE_LOOP if self.looped else _BEFORE_THE_LOOP
        all_of_it = "".join(
            code.format(body=textwrap.indent(line, "    "), number=number)
            for number, line in self.lines.items()
        )
        if self.looped:
            all_of_it = "async def probed():\n" + textwrap.indent(all_of_it, "    ")
        return _BEGINNING + all_of_it

    def server(self) -> str:
        """A right server that runs the code at each start."""
        text, opening = PLAIN.read_text(), "    await on_disk(open_database)\n"
        assert text.count(opening) == 1
        if self.looped:
            text = text.replace(opening, f"    await probed()\n{opening}")
        end = text.index("import asyncio")
        return f"{text[:end]}{self.source()}\n{text[end:]}"


def batches(lines: list[str], looped: bool, size: int) -> list[Batch]:
    """Lines in batches; the number of a line is its place in the table."""
    numbered = list(enumerate(lines))
    return [Batch(dict(numbered[at : at + size]), looped) for at in range(0, len(lines), size)]


LIVE = """
import json, os, sys, traceback
for number, code, looped in json.load(open(sys.argv[1])):
    child = os.fork()
    if child == 0:
        os.environ["OUTCOMES"] = f"{sys.argv[2]}/{number}"
        names = {"__name__": "__main__"}
        try:
            exec(compile(code, "probe.py", "exec"), names)
            if looped:
                names["asyncio"].run(names["probed"]())
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        os._exit(0)
    os.waitpid(child, 0)
"""
Outcomes = dict[int, list[list[Any]]]
"""By the number of a line: what came of it, start by start."""


def outcomes(path: Path) -> Outcomes:
    """The results that were written down."""
    found: Outcomes = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        number, *outcome = json.loads(line)
        found.setdefault(number, []).append(outcome)
    return found


def play_live(folder: Path, jobs: list[Batch]) -> list[Outcomes]:
    """Run each batch in a process that is forked from one new process, which is started as servers are."""
    folder.mkdir()
    described = [[number, batch.source(), batch.looped] for number, batch in enumerate(jobs)]
    (folder / "jobs.json").write_text(json.dumps(described))
    with (folder / "log").open("wb") as log:
        subprocess.run(
            [sys.executable, "-c", LIVE, str(folder / "jobs.json"), str(folder)],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            timeout=60,
        )
    return [outcomes(folder / str(number)) for number in range(len(jobs))]


def play_simulated(folder: Path, batches: list[Batch], case: Case) -> list[tuple[Run, Outcomes]]:
    """Play a case with a server for each batch."""
    jobs = []
    for number, batch in enumerate(batches):
        own = folder / f"{number}"
        own.mkdir(parents=True)
        (own / "server.py").write_text(batch.server())
        target = targets.at_file(str(own / "server.py"))
        jobs.append(SimJob(replace(target, cwd=str(own), env={"OUTCOMES": str(own / "outcomes")}), [case]))

    async def play() -> list[list[Run]]:
        async with ForkPool(2) as pool:
            return list(await asyncio.gather(*(pool.play(job) for job in jobs)))

    runs = asyncio.run(play())
    return [(run, outcomes(folder / f"{number}" / "outcomes")) for number, (run,) in enumerate(runs)]


class Played(NamedTuple):
    """The results of a line: those of each start in the simulated world, and the one in the live world."""

    run: Run
    simulated: list[list[Any]]
    live: list[list[Any]]


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """The lines that should agree, played in both worlds."""
    folder = tmp_path_factory.mktemp("agree")
    jobs = [*batches(AT_THE_START, False, 6), *batches(IN_THE_LOOP, True, 6)]
    live = play_live(folder / "live", jobs)
    simulated = play_simulated(folder / "sim", jobs, Case(4, "1", script=SCENE))
    return {
        line: Played(run, simulated_results[number], real[number])
        for batch, (run, simulated_results), real in zip(jobs, simulated, live, strict=True)
        for number, line in batch.lines.items()
    }


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The lines that the simulated world lacks, each in a play of exercise 1."""
    jobs = [Batch({0: line}, "await " in line or "get_running_loop" in line) for line in LACKING]
    played = play_simulated(tmp_path_factory.mktemp("lack"), jobs, Case(1, "1", SMALL))
    return {line: run for line, (run, _) in zip(LACKING, played, strict=True)}


@pytest.mark.parametrize("line", [*AT_THE_START, *IN_THE_LOOP])
def test_the_result_is_the_same_in_both_worlds(agreeing: dict[str, Played], line: str) -> None:
    """The server passes, and at each start the line gives what it gives in a real process."""
    run, simulated, live = agreeing[line]
    assert run.outcome is Outcome.PASSED, (run.steps, run.output)
    assert len(live) == 1
    assert simulated == live * 3


@pytest.mark.parametrize("line", LACKING)
def test_what_is_lacking_is_reported_by_name_and_line(lacking: dict[str, Run], line: str) -> None:
    """No step fails; the report says what is lacking and where it is used."""
    run, what = lacking[line], LACKING[line]
    assert run.outcome is Outcome.INCONCLUSIVE, (run.steps, run.output)
    receipt = run.steps[0].receipt
    assert receipt is not None
    is_kind = what in ("thread", "process", "socket")
    assert receipt.key == (f"lacking_{what}" if is_kind else "lacking_call")
    assert is_kind or receipt.params["name"] == what
    assert receipt.params["where"].startswith("server.py, line ")
    assert line in receipt.params["where"]


# --- exceptions of the simulated world itself ----------------------------------------------------------


def in_a_request(does: str) -> str:
    """A server that runs this code when somebody connects."""
    text, beginning = PLAIN.read_text(), "async def welcome(client: ServerConnection) -> None:\n"
    assert text.count(beginning) == 1
    return text.replace(beginning, f"{beginning}    {does}\n")


@pytest.mark.parametrize("is_request", [False, True])
@pytest.mark.parametrize(
    ("does", "name"),
    [
        ("await asyncio.get_running_loop().sock_recv(None, 1)", "sock_recv()"),
        ("await asyncio.get_running_loop().getnameinfo(own=1)", "HostLoop.getnameinfo()"),
    ],
)
def test_an_exception_of_the_simulated_world_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, name: str, is_request: bool
) -> None:
    """What asyncio leaves to its loops, or what our loop supports in part only,
    may end a program or a request.
    """

    async def getnameinfo(self: HostLoop, address: Any) -> None:
        pass

    monkeypatch.setattr(HostLoop, "sock_recv", asyncio.AbstractEventLoop.sock_recv)
    getnameinfo.__qualname__ = "HostLoop.getnameinfo"
    monkeypatch.setattr(HostLoop, "getnameinfo", getnameinfo)
    path = tmp_path / "server.py"
    opening = "    await on_disk(open_database)\n"
    text = PLAIN.read_text().replace(opening, f"    {does}\n{opening}")
    path.write_text(in_a_request(does) if is_request else text)
    run = simulate(Case(1, "1", SMALL), targets.at_file(str(path)))
    assert run.outcome is Outcome.INCONCLUSIVE, (run.steps, run.output)
    receipt = run.steps[0].receipt
    assert receipt is not None
    assert (receipt.key, receipt.params["name"]) == ("lacking_call", name)
    assert does in receipt.params["where"]


def test_the_loop_has_or_refuses_all_methods() -> None:
    """Whatever asyncio's base loop leaves to a subclass, our loop has or refuses."""
    abstract = asyncio.AbstractEventLoop
    names = [name for name in dir(abstract) if not name.startswith("__")]
    assert [name for name in names if getattr(HostLoop, name) is getattr(abstract, name)] == []
    base = asyncio.BaseEventLoop
    left = [name for name, each in vars(base).items() if "NotImplementedError" in names_in(each)]
    assert left != []
    assert [name for name in left if getattr(HostLoop, name) is getattr(base, name)] == []


def names_in(function: Any) -> tuple[str, ...]:
    """The global names that a function uses, if it is so short that it only raises an exception."""
    code = getattr(function, "__code__", None)
    return code.co_names if code is not None and len(code.co_names) == 1 else ()


# --- what cannot be done twice in one process ----------------------------------------------------------

ONCE = """import msgspec
assert not hasattr(msgspec, "counter_of_messages"), "it is registered already"
msgspec.counter_of_messages = 0
"""
"""What some packages do: they keep something for the whole process, and take it once."""


def with_beginning(tmp_path: Path, beginning: str) -> Target:
    """A right server in a file, with some code at its beginning."""
    text = PLAIN.read_text()
    end = text.index("import asyncio")
    (tmp_path / "server.py").write_text(f"{text[:end]}import os\n{beginning}\n{text[end:]}")
    return targets.at_file(str(tmp_path / "server.py"))


def play(target: Target, *cases: Case) -> list[Run]:
    """Play cases in one pool."""

    async def all_of_them() -> list[Run]:
        async with ForkPool(1) as pool:
            return await pool.play(SimJob(target, list(cases)))

    return asyncio.run(all_of_them())


def test_what_a_package_does_once_per_process_is_not_simulated(tmp_path: Path) -> None:
    """Each play has its own process then, and a restart is inconclusive, with the line that raised."""
    target = with_beginning(tmp_path, ONCE)
    first, *others, last = play(
        target, Case(1, "1", SMALL), Case(1, "2", SMALL), Case(1, "3", SMALL), Case(4, "1", SMALL)
    )
    assert [run.outcome for run in (first, *others)] == [Outcome.PASSED] * 3
    assert [step.outcome for step in last.steps] == [Outcome.PASSED, *[Outcome.INCONCLUSIVE] * 4]
    receipt = last.steps[1].receipt
    assert receipt is not None
    assert receipt.key == "lacking_restart"
    assert 'assert not hasattr(msgspec, "counter_of_messages")' in receipt.params["where"]


@pytest.mark.parametrize("once", ["", ONCE])
def test_a_server_that_does_not_start_on_its_own_data_fails(tmp_path: Path, once: str) -> None:
    """It would not start in a new process either: the defect is in the server, not in the simulated world."""
    defect = 'assert not os.path.exists(os.environ["DATA_DIR"] + "/chat.db"), "there is something already"\n'
    (run,) = play(with_beginning(tmp_path, defect + once), Case(4, "1", SMALL))
    assert run.steps[1].outcome is Outcome.FAILED
    assert [anomaly.name for anomaly in run.steps[1].anomalies] == ["no_start"]
    assert "lacking" not in str(run.steps)


def test_a_server_that_a_package_ends_after_a_restart_is_not_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be right: what the package remembers of the first start matters only when it is used."""
    monkeypatch.setattr(places, "_PACKAGES", [f"{tmp_path}/site/"])
    monkeypatch.setattr(places, "_LIBRARIES", (*places._LIBRARIES, f"{tmp_path}/site/"))
    places.is_library.cache_clear()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "counts_once.py").write_text(
        "seen = []\ndef use():\n    assert not seen\n    seen.append(1)\n"
    )
    target = with_beginning(tmp_path, "import counts_once")
    text = (tmp_path / "server.py").read_text()
    serving = "        await stop.wait()\n"
    assert text.count(serving) == 1
    (tmp_path / "server.py").write_text(
        text.replace(serving, f"        await asyncio.sleep(0.05)\n        counts_once.use()\n{serving}")
    )
    run = simulate(Case(4, "1", SMALL), target)
    places.is_library.cache_clear()
    assert Outcome.FAILED not in [step.outcome for step in run.steps], (run.steps, run.output)
    receipt = next(step.receipt for step in run.steps if step.outcome is Outcome.INCONCLUSIVE)
    assert receipt is not None
    assert receipt.key == "lacking_restart"
