"""Controls a load test from its start to its verdict, over one process or many.

One process *leads*: the only one, or Locust's master. It gives the run its name, orders storms and the quiet
at the end, waits until everything expected has arrived, gathers the records, and judges them. The others
(Locust's workers) *play*: they run the users. All of this happens in handlers of Locust's own events, so that
it works however a test is started and stopped: by its time, by Ctrl-C, or on the web page.
"""

from __future__ import annotations

import secrets
import threading
import time
import traceback
from datetime import UTC, datetime
from typing import Any

from locust.runners import MasterRunner, WorkerRunner
from msgspec import to_builtins

from harness.judged.bounds import load_settle_seconds
from harness.load import report
from harness.load.exchange import Exchange
from harness.load.failures import tell_locust
from harness.load.judging import Load, Result, judging
from harness.load.outputs import files_in
from harness.load.probing import ProbeProcess
from harness.load.record import SERVER, Recording, pack, with_end_of_server
from harness.load.settings import habits_in, is_address, objectives_in, repair, settings_in, wrong_in
from harness.load.slots import steps_of
from harness.load.users import Users, room_name
from harness.load.workers import Workers
from harness.reports.words import Words
from harness.texts import texts
from harness.texts.console import echo
from harness.texts.defect import told
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Text
from lab.command import EXIT_USAGE

QUIET = 1.5
"""Seconds in which nothing more must arrive before what is missing counts as lost."""
PATIENCE = 6.0
"""Seconds without any progress after which we stop waiting for what is missing."""
RECORD_PATIENCE = 15.0
"""Seconds without a piece of any record after which we stop waiting for the rest."""
POLL = 0.1
CSV_SECONDS = 1.2
"""Seconds in which Locust writes its tables once more, which it does not do when it ends."""
TELL_EVERY = 5.0
"""Seconds between two lines of progress."""
STORM_AFTER = 30.0
"""Seconds until the storm if a test has no time limit; else it is in the middle."""


class Conductor:
    """The handlers of Locust's events in one process of a load."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        self.runner = environment.runner
        self.leads = not isinstance(self.runner, WorkerRunner)
        self.plays = not isinstance(self.runner, MasterRunner)
        self.users: Users | None = None
        self._lock = threading.Lock()
        self._running = False
        self._talking = False
        self._began = 0.0
        self._date = ""
        self._workers = None if self.plays else Workers(self.runner)
        self._is_interrupted = False
        self._lost = False
        """Whether a worker was lost, so that there can be no verdict."""
        self._mistake: Text | None = None
        """What is wrong with the scenario: the load ends for it, and is not judged."""
        self._probe: ProbeProcess | None = None
        self._tests = 0
        self._exchange = Exchange.of_parent() if self.leads else None
        if not self.plays:
            self.runner.register_message("lab_mistake", self._on_mistake)
        if not self.leads:
            self.runner.register_message("lab_do", self._on_order, concurrent=True)
        environment.events.test_start.add_listener(self.start)
        environment.events.test_stopping.add_listener(self.conclude)
        environment.events.quitting.add_listener(self._quit)

    @property
    def options(self) -> Any:
        """The command-line options, as Locust parsed them."""
        return self.environment.parsed_options

    def say(self, key: str, **params: Any) -> None:
        """Print a line of progress."""
        echo(texts(self.options.lab_lang).say(f"load.{key}", **params), err=True)

    def check(self) -> bool:
        """Whether a load can be made of what was asked; else the leading process says why not."""
        wrong = wrong_in(self.options)
        if not is_address(self.environment.host):
            wrong.append(Text("no_address", {"host": self.environment.host or ""}))
        for each in wrong if self.leads else ():
            self.say(each.key, **each.params)
        return not wrong

    # --- the start --------------------------------------------------------------------------------

    def start(self, **_: Any) -> None:
        """A test begins: in the leading process before the workers, to which Locust sends our options."""
        self._running = self._talking = True
        self._lost, self._mistake = False, None
        if self.leads:
            self.options.lab_run = secrets.token_hex(3)
            self._began = time.monotonic()
            self._date = datetime.now(UTC).isoformat(timespec="seconds")
            self._tests += 1
            if not self.check():
                repair(self.options)
            self._begin_beside()
            if self._workers is not None:
                self._workers.forget()
            threading.Thread(target=self._lead, args=(self.options.lab_run,), daemon=True).start()
        if self.plays:
            self.users = self.environment.lab_users = Users(
                self.environment.host or "",
                self.options.lab_run,
                self.runner.worker_index,
                self.options.lab_seed,
                habits_in(self.options),
            )

    def _begin_beside(self) -> None:
        """Start the probe, and the journal of this test."""
        options, run = self.options, self.options.lab_run
        if options.lab_probe == "on" and is_address(self.environment.host):
            self._probe = ProbeProcess(self.environment.host, run, room_name(0, run))
        if self._exchange is not None:
            load = self._load(0.0, 0)
            self._exchange.begin(
                began=load.date,
                target=load.target,
                seed=load.seed,
                shape=load.shape,
                objectives=[each.text for each in load.objectives],
                settings=load.settings,
                files=to_builtins(files_in(self.options, self._tests)),
            )

    def _load(self, passed: float, missing: int) -> Load:
        """What was asked of this test, and how it went, as far as that is known."""
        options = self.options
        users = options.num_users or self.runner.target_user_count or 1
        is_ramp = self.environment.shape_class is not None
        return Load(
            target=options.lab_label or self.environment.host,
            shape=options.lab_shape,
            seed=options.lab_seed,
            processes=self._processes,
            seconds=passed,
            missing=missing,
            objectives=objectives_in(options),
            settings=settings_in(options) | self._of_scenario(),
            date=self._date,
            began=self._began,
            steps=steps_of(users, options.run_time, options.lab_steps, passed) if is_ramp else [],
            ended=self._ended(),
        )

    def _of_scenario(self) -> dict[str, Any]:
        """Whether `--rate` is that of a scenario's own act."""
        return {"own_act": True} if self.environment.lab_scenario.has_own_act() else {}

    @property
    def _processes(self) -> int:
        """How many processes have users."""
        return max(self._workers.count, 1) if self._workers is not None else 1

    def _ended(self) -> str:
        """What has ended the test."""
        order = self._exchange.ordered() if self._exchange is not None else None
        if order is not None:
            return order.ended
        if self._lost:
            return "worker_lost"
        if self.users is not None and self.users.recorder.flooded:
            return "flooded"
        return "interrupted" if self._is_interrupted else "time"

    def _lead(self, run: str) -> None:
        """Report the progress, and order the storm."""
        length = self.options.run_time
        storm_at = self._began + (length / 2 if length else STORM_AFTER)
        stormy = self.options.lab_shape == "storm"
        told, counts, noted = self._began, (0, 0), self._began
        while self._talking and self.options.lab_run == run:
            time.sleep(POLL)
            now = time.monotonic()
            if self._mistake is not None:
                self.runner.stop() if self.environment.web_ui else self.runner.quit()
                return
            if self.users is not None and self.users.recorder.flooded:
                self.runner.quit()  # which has it judged
                return
            if self._workers is not None:
                self._workers.look()
                if self._workers.lost:
                    self._lost = True
                    self.say("worker_lost")
                    self.runner.stop() if self.environment.web_ui else self.runner.quit()
                    return
            if self._exchange is not None and now - noted >= 1:
                noted = now
                self._note()
            if stormy and now >= storm_at:
                stormy = False
                self.say("storm", users=self.runner.user_count)
                self._order("storm")
            if now - told >= TELL_EVERY and self._talking:
                before, counts = counts, (self._count("echo"), self._count("delivery"))
                said, heard = (round((counts[n] - before[n]) / (now - told)) for n in range(2))
                passed = round(now - self._began)
                counts_of = {"users": self.runner.user_count, "said": said, "heard": heard}
                self.say("progress", passed=passed, **counts_of, errors=self._errors)
                told = now

    def end_for(self, mistake: Text) -> None:
        """End the load, since a user of this process has found that the scenario is wrong."""
        if self.leads:
            self._mistake = self._mistake or mistake
        else:
            params = {name: str(each) for name, each in mistake.params.items()}
            self.runner.send_message("lab_mistake", {"key": mistake.key, "params": params})

    def _on_mistake(self, environment: Any, msg: Any) -> None:
        self._mistake = self._mistake or Text(msg.data["key"], msg.data["params"])

    def _note(self) -> None:
        """Add a second to the journal."""
        assert self._exchange is not None, "the caller has looked"
        news = self._probe.news() if self._probe is not None else []
        probe: dict[str, list[float]] = {}
        for each in news:
            for row, times in each["probe"].items():
                probe.setdefault(row, []).extend(times)
        self._exchange.note(
            passed=time.monotonic() - self._began,
            users=self.runner.user_count,
            processes=self._processes,
            messages=self._count("echo"),
            deliveries=self._count("delivery"),
            errors=self._errors,
            probe=probe,
            probe_lag=max((each["lag"] for each in news), default=0.0),
        )

    @property
    def _errors(self) -> int:
        """What was refused or not answered so far, by all users."""
        return int(self.runner.stats.total.num_failures)

    def _count(self, row: str) -> int:
        entry = self.runner.stats.entries.get((row, "WS"))
        return entry.num_requests if entry else 0

    # --- the players ------------------------------------------------------------------------------

    def _order(self, what: str) -> None:
        """Send an order to all users: storm, quiet or record."""
        if self.plays:
            self._obey(what)
        else:
            self.runner.send_message("lab_do", {"what": what})

    def _on_order(self, environment: Any, msg: Any) -> None:
        self._obey(msg.data["what"])

    def _obey(self, what: str) -> None:
        if self.users is None:
            return
        if what == "storm":
            self.users.storm()
        elif what == "quiet":
            self.users.be_quiet()
            if not self.leads:
                threading.Thread(target=self._report_status, args=(self.users,), daemon=True).start()
        elif what == "record" and not self.leads:
            self._send_record()

    def _report_status(self, users: Users) -> None:
        while self._running and users is self.users:
            status = {
                "awaited": users.awaited(),
                "heard": users.recorder.heard,
                "clock": users.recorder.now(),
            }
            self.runner.send_message("lab_status", {"process": users.recorder.process, **status})
            time.sleep(POLL)

    def _send_record(self) -> None:
        if self.users is None or not self._running:
            return
        self._running = False
        self.users.end(PATIENCE)
        pieces = pack(self.users.recorder.finish())
        for number, piece in enumerate(pieces):
            self.runner.send_message("lab_record", {"number": number, "of": len(pieces), "data": piece})
            time.sleep(0)  # lets this process send its other messages in between

    # --- the end ----------------------------------------------------------------------------------

    def _quit(self, **_: Any) -> None:
        """Locust ends, by a signal if a test still runs: else it has stopped the test before."""
        self._is_interrupted = self._talking
        self.conclude()

    def conclude(self, **_: Any) -> None:
        """The test ends: wait for quiet, gather the records, judge and report. Only once for each test."""
        if not self.leads:
            # Locust stops us before we were asked for the record: the master still may get it.
            self._send_record()
            return
        with self._lock:  # a second call waits until the first is done
            if not self._running:
                return
            try:
                self._conclude()
            except Exception:
                self._defect(traceback.format_exc())

    def _conclude(self) -> None:
        passed = time.monotonic() - self._began
        self._talking = False
        order = self._exchange.ordered() if self._exchange is not None else None
        if self._probe is not None:
            self._probe.stop()
        if self._mistake is not None:
            self._running = False
            self._of_probe()
            self.say(self._mistake.key, **self._mistake.params)
            self.environment.process_exit_code = EXIT_USAGE
            return
        if order is None or not order.server:
            self.say("settling")
            self._settle(load_settle_seconds(passed))
        recordings = [*self._gather(), *self._of_probe()]
        if order is not None and order.server:
            recordings = with_end_of_server(recordings, order.server)
        self._running = False
        defects = [each["traceback"] for each in self.runner.exceptions.values()]
        defects += [recording.defect for recording in recordings if recording.defect]
        if defects:
            self._defect("\n".join(defects))
            return
        here = sum(each.process != SERVER and not each.busy_room for each in recordings)
        result = self._judge(self._load(passed, self._processes - here), recordings)
        self.environment.process_exit_code = EXIT_CODES[result.outcome]
        files = files_in(self.options, self._tests)
        if self._exchange is not None:
            files.json.append(str(self._exchange.result))
        err = bool(getattr(self.options, "json", False))  # Locust's own JSON goes to standard output
        report.tell(result, self.options.lab_lang, self.options.lab_run, files, err=err)
        words = Words(texts(self.options.lab_lang), self.options.lab_run)
        if tell_locust(self.environment, result, words) and self.options.csv_prefix:
            time.sleep(CSV_SECONDS)

    def _of_probe(self) -> list[Recording]:
        """The record of the probe, in a list; none without a probe."""
        if self._probe is None:
            return []
        recording, self._probe = self._probe.record(), None
        if recording is None:
            self.say("probe_lost")
        return [recording] if recording is not None else []

    def _judge(self, load: Load, recordings: list[Recording]) -> Result:
        self.say("judging")
        result = None
        clocks = self._workers.clocks(recordings) if self._workers is not None else {}
        for step in judging(load, recordings, clocks):
            result = step if isinstance(step, Result) else None
            time.sleep(0)  # lets Locust serve its workers and its web page meanwhile
        assert result is not None, "the last step is the result"
        return result

    def _settle(self, longest: float) -> None:
        """Wait until everything expected has arrived, while there is progress, for so many seconds."""
        if self._workers is not None:
            self._workers.ask_status()
        self._order("quiet")
        began = progress = calm = time.monotonic()
        last = (10**9, 0)
        while True:
            time.sleep(POLL)
            now = time.monotonic()
            awaited, heard = self._awaited()
            if heard != last[1]:
                progress = calm = now
            if awaited < last[0]:
                progress = now
            last = (awaited, heard)
            settled = not awaited and now - calm > QUIET
            if settled or now - progress > PATIENCE or now - began > longest:
                return

    def _awaited(self) -> tuple[int, int]:
        """How much is still missing, and how much has arrived, over all processes."""
        if self.users is not None:
            return self.users.awaited(), self.users.recorder.heard
        assert self._workers is not None, "who does not play has workers"
        return self._workers.awaited()

    def _gather(self) -> list[Recording]:
        """The records of all processes, without those that have not arrived after a while."""
        if self.users is not None:
            self.users.end(PATIENCE)
            return [self.users.recorder.finish()]
        assert self._workers is not None, "who does not play has workers"
        self.say("gathering", count=self._workers.count)
        self._order("record")
        return self._workers.gather(RECORD_PATIENCE, POLL)

    def _defect(self, what: str) -> None:
        self._running = False
        echo(told(what, texts(self.options.lab_lang)), err=True)
        self.environment.process_exit_code = EXIT_DEFECT
