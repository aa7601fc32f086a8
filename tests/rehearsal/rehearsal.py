"""Plays what `docker compose` would do with our files, on a machine without containers.

The services' own commands are started as processes, in the order and under the conditions of the compose
file. Each has a folder that stands for its root: a copy of its image, which the steps of the Dockerfile have
made (`images.py`), with its volumes. What is different from a container is written into the commands and the
environment: paths lead into that folder, the names of services are 127.0.0.1, and each port is a free one.

What this cannot show: that the base image has what we need; users and rights; a file system that is
read-only; networks; that a service which died is started again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from harness.judged.process import ServerProcess, free_port
from harness.judged.targets import CommandNotFound
from tests.rehearsal.deployment import ROOT, Mount, Service, services
from tests.rehearsal.images import Failed, Images, duplicate, programs

__all__ = ["Failed", "Rehearsal", "left_running"]

PATIENCE = 60.0
"""Seconds for which we wait for a service: the first start of Jupyter or Locust takes some."""
HEALTH_SECONDS = 5.0
"""Seconds that one health check may take."""


@dataclass
class Running:
    """One service as it runs here: its folder, and a process for each of its copies."""

    service: Service
    root: Path
    words: list[str]
    environment: dict[str, str]
    processes: list[ServerProcess] = field(default_factory=list)

    @property
    def workdir(self) -> Path:
        """The folder in which its commands run."""
        return self.root / self.service.stage.workdir.lstrip("/")

    def tail(self) -> str:
        """The last lines that it printed."""
        return "\n".join(line for each in self.processes for line in each.tail(40)) or "(it printed nothing)"


class Rehearsal:
    """`with Rehearsal(folder, images, …) as it` plays in that folder; at the end no process is left.

    `settings` are the variables that a user may set. `up` starts the services of `profiles` and those that
    have none, as compose does.
    """

    def __init__(
        self,
        folder: Path,
        images: Images,
        profiles: tuple[str, ...] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.images = images
        self.services = services(settings or {})
        self.profiles = set(profiles)
        inside = [(name, port) for name, each in self.services.items() for port in each.ports]
        self.ports = {each: free_port() for each in inside}
        """The port on this machine for each service and port of it."""
        self.environment: dict[str, str] = {}
        """Variables for all services that this machine needs, and a container would not."""
        self.running: dict[str, Running] = {}

    def __enter__(self) -> Rehearsal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self.running.values():
            for process in each.processes:
                process.kill()

    # --- what a user does ---------------------------------------------------------------------------

    def up(self) -> None:
        """`docker compose up`: start the services of the profiles, each when its dependencies are ready."""
        for name, service in self.services.items():
            if not service.profiles or self.profiles & set(service.profiles):
                self.start(name)

    def start(self, name: str) -> Running:
        """`docker compose up NAME`: start a service, and before it its dependencies."""
        if name in self.running:
            return self.running[name]
        service = self.services[name]
        for needed, condition in service.needs.items():
            self._wait(self.start(needed), condition)
        running = self.running[name] = self._prepare(service)
        for number in range(service.copies):
            label = f"{name}-{number + 1}"
            log = self.folder / f"{label}.log"
            log.unlink(missing_ok=True)
            try:
                process = ServerProcess(running.words, running.workdir, running.environment, log)
            except CommandNotFound as error:
                raise Failed(f"{name}: {error}") from error
            running.processes.append(process)
        return running

    def port(self, name: str) -> int:
        """The port on this machine where a service is published."""
        return self.ports[name, self.services[name].published[0][2]]

    def run(self, name: str) -> tuple[int, str]:
        """`docker compose run`: run one service to its end; returns its exit code and its last output.

        A service that was started already is waited for.
        """
        running = self.start(name)
        return self._ended(running), running.tail()

    def kill(self, name: str) -> None:
        """`docker compose kill NAME`: what it ran is gone at once, and nobody is surprised by that."""
        for process in self.running.pop(name).processes:
            process.kill()

    def down(self) -> dict[str, list[int | None]]:
        """`docker compose down`: ask all to end, and give them their time.
        None is one that had to be killed.
        """
        codes = {}
        for name, running in reversed(self.running.items()):
            for process in running.processes:
                process.terminate()
            deadline = time.monotonic() + running.service.grace
            while _some_run(running) and time.monotonic() < deadline:
                time.sleep(0.02)
            codes[name] = [process.exit_code for process in running.processes]
            for process in running.processes:
                process.kill()
        self.running.clear()
        return codes

    def until(self, what: Callable[[], object], wanted: str) -> None:
        """Wait until `what` holds. Raises Failed if a service dies before that, or it takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not what():
            self._nobody_died()
            if time.monotonic() > deadline:
                printed = "\n".join(f"--- {name}\n{each.tail()}" for name, each in self.running.items())
                raise Failed(f"{wanted} did not come about within {PATIENCE:g} s:\n{printed}")
            time.sleep(0.05)

    # --- how a service is started -------------------------------------------------------------------

    def _wait(self, running: Running, condition: str) -> None:
        name = running.service.name
        match condition:
            case "service_started":
                pass
            case "service_healthy":
                self.until(lambda: self.is_healthy(running), f"the health of {name}")
            case "service_completed_successfully":
                code = self._ended(running)
                if code != 0:
                    raise Failed(f"{name} ended with {code}; its last lines:\n{running.tail()}")
            case _:
                raise Failed(f"{name} is waited for with an unknown condition, {condition}")

    def is_healthy(self, running: Running) -> bool:
        """Whether its health check passes. Raises Failed if the service has ended."""
        service = running.service
        health = [self._here(service, running.root, word) for word in service.stage.health]
        if not health:
            raise Failed(f"{service.name} is to be healthy, but there is no health check for it")
        if not _all_run(running):
            raise Failed(f"{service.name} ended before it was healthy; its last lines:\n{running.tail()}")
        try:
            check = subprocess.run(
                health,
                cwd=running.workdir,
                env=running.environment,
                capture_output=True,
                timeout=HEALTH_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return check.returncode == 0

    def _ended(self, running: Running) -> int:
        deadline = time.monotonic() + PATIENCE
        while _some_run(running):
            if time.monotonic() > deadline:
                raise Failed(f"{running.service.name} did not end within {PATIENCE:g} s:\n{running.tail()}")
            time.sleep(0.05)
        return max((each.exit_code or 0 for each in running.processes), key=abs)

    def _nobody_died(self) -> None:
        for name, running in self.running.items():
            for process in running.processes:
                if process.exit_code:
                    raise Failed(f"{name} ended with {process.exit_code}; its last lines:\n{running.tail()}")

    # --- what takes the place of a container --------------------------------------------------------

    def _prepare(self, service: Service) -> Running:
        """A new folder for the service, with its files and volumes, and its command as it is there."""
        root = self.folder / service.name
        shutil.rmtree(root, ignore_errors=True)
        duplicate(self.images.made(service.target, service.arguments), root)
        (root / "tmp").mkdir()
        for mount in service.mounts:
            place = root / mount.target.lstrip("/")
            if mount.kind == "volume" and not place.exists():
                raise Failed(
                    f"{service.name}: the image has no {mount.target}, so the volume would be root's"
                )
            if mount.kind != "tmpfs":
                shutil.rmtree(place, ignore_errors=True)
                place.symlink_to(self._source(mount), target_is_directory=True)
        environment = {key: self._here(service, root, value) for key, value in service.environment.items()}
        return Running(
            service,
            root,
            [self._here(service, root, word) for word in service.words],
            {"PATH": programs(root), "TMPDIR": str(root / "tmp"), **self.environment, **environment},
        )

    def _source(self, mount: Mount) -> Path:
        """The folder that a mount shows; a copy, if it is one of the repository that may be written."""
        if mount.kind == "volume":
            volume = self.folder / "volumes" / mount.source
            volume.mkdir(parents=True, exist_ok=True)
            return volume
        source = (ROOT / mount.source).resolve()
        if not source.is_dir() and mount.must_exist:
            raise Failed(f"there is no folder {source}, which is to be {mount.target}")
        if mount.read_only or not source.is_relative_to(ROOT):
            return source
        worked_on = self.folder / "binds" / mount.target.lstrip("/")
        if source.is_dir() and not worked_on.exists():
            shutil.copytree(source, worked_on)
        worked_on.mkdir(parents=True, exist_ok=True)
        return worked_on

    def _peers(self, service: Service) -> set[str]:
        """The other services of its profiles: with several nodes, each knows all."""
        return {
            name
            for name, other in self.services.items()
            if name != service.name and set(other.profiles) & set(service.profiles)
        }

    def _here(self, service: Service, root: Path, text: str) -> str:
        """A word of a command, or a value, as it must be on this machine."""
        text = text.replace("0.0.0.0", "127.0.0.1")
        reached = {*service.needs, *self._peers(service)}  # no other service's name may be used
        for (name, inside), port in self.ports.items():
            if name in reached or name == service.name:
                text = re.sub(rf"(?<![\w.-]){name}:{inside}(?!\d)", f"127.0.0.1:{port}", text)
        for name in reached:
            text = re.sub(rf"(?<![\w.-]){name}(?![\w.-])", "127.0.0.1", text)
        for name in (service.name, *sorted(reached)):
            for inside in self.services[name].ports:
                text = re.sub(rf"(?<!\d){inside}(?!\d)", str(self.ports[name, inside]), text)
        folders = [service.stage.workdir, *(mount.target for mount in service.mounts)]
        either = "|".join(re.escape(each) for each in sorted(folders, key=len, reverse=True))
        return re.sub(rf"(?<![\w./-])(?:{either})(?![\w.-])", lambda match: f"{root}{match[0]}", text)


def left_running(folder: Path) -> list[str]:
    """The commands of the processes that still work in the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue  # it has just ended, or belongs to another user
    return found


def _some_run(running: Running) -> bool:
    return any(each.exit_code is None for each in running.processes)


def _all_run(running: Running) -> bool:
    return all(each.exit_code is None for each in running.processes)
