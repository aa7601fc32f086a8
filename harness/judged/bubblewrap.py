"""Bubblewrap (https://github.com/containers/bubblewrap): a program in namespaces of its own.

It sees a list of folders, and nothing else: so nothing has to be thought of that it should not see, such as
the marks of last year in somebody's home. The list is what programs need: the system, Python and its
libraries, and where PATH and the like say that other languages are.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from harness.judged import keeper
from harness.judged.bounds import MIB
from harness.judged.isolation import Isolation

_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store"),
    *("/run/current-system", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf", "/etc/protocols"),
    *("/etc/services", "/etc/localtime", "/etc/timezone", "/etc/mime.types", "/etc/ssl", "/etc/pki"),
    *("/etc/ca-certificates", "/etc/crypto-policies", "/etc/java", "/etc/java-11-openjdk"),
    *("/etc/java-17-openjdk", "/etc/java-21-openjdk", "/etc/dotnet", "/etc/erlang", "/etc/php"),
)
"""What programs need of a system: of /etc only what no secret is in."""
_TOOLS = (
    *("JAVA_HOME", "GOROOT", "GOPATH", "GOCACHE", "GOMODCACHE", "NODE_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"),
    *("CARGO_HOME", "RUSTUP_HOME", "DOTNET_ROOT", "NVM_DIR", "DENO_DIR", "BUN_INSTALL", "GEM_HOME"),
    *("GEM_PATH", "PYENV_ROOT", "ASDF_DATA_DIR", "MISE_DATA_DIR", "SDKMAN_DIR", "VOLTA_HOME", "FNM_DIR"),
    *("RBENV_ROOT", "M2_HOME", "MAVEN_HOME", "GRADLE_USER_HOME", "PNPM_HOME", "LD_LIBRARY_PATH"),
)
"""Variables that name the folders of languages' tools."""
_ROOTS = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi")
"""What root can write to in /proc, whatever namespace it is in."""
_PARTS = (
    *("bin", "lib", "lib64", "include", "pkg", "versions", "registry", "toolchains"),
    *("candidates", "installs", "shims", "store", "plugins", "libexec", "settings.toml"),
)
"""What is shown of a folder right in somebody's home, such as ~/.cargo: there may be secrets beside it."""
_USUAL = {
    "RUSTUP_HOME": ".rustup",
    "CARGO_HOME": ".cargo",
    "ASDF_DATA_DIR": ".asdf",
    "VOLTA_HOME": ".volta",
    "MISE_DATA_DIR": ".local/share/mise",
    "NVM_DIR": ".nvm",
    "SDKMAN_DIR": ".sdkman",
    "GOPATH": "go",
    "PYENV_ROOT": ".pyenv",
    "RBENV_ROOT": ".rbenv",
    "BUN_INSTALL": ".bun",
    "DENO_DIR": ".cache/deno",
}
"""Where tools look in a home if these variables are not set; isolated code has another home."""
_TEMPORARY = 512 * MIB
"""Bytes of its own /tmp, which lies in memory."""


def wrapped(isolation: Isolation, command: Sequence[str], *, has_network: bool = True) -> list[str]:
    """The command that runs another one in namespaces of its own, as their first process.

    It has the network of whoever runs it, or none. (`own_network.py` gives that one a network of its own.)
    """
    words = [program() or "bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    words += ["--unshare-cgroup-try", "--hostname", "localhost", "--as-pid-1", "--die-with-parent"]
    words += [] if has_network else ["--unshare-net"]
    words += ["--disable-userns"] if _has("--disable-userns") else []
    words += ["--proc", "/proc", "--dev", "/dev"]
    for place in ("/tmp", "/dev/shm"):
        words += ["--size", str(_TEMPORARY), "--tmpfs", place]
    if os.getuid() == 0:  # else it would keep what root may do, and the files that are root's
        words += ["--cap-drop", "ALL", "--uid", "1000", "--gid", "1000"]
        for place in _ROOTS:
            words += ["--ro-bind-try", place, place]
    shown = [*_shown(), *isolation.shows]
    for path in _outermost(shown):
        words += ["--ro-bind", path, path]
    for path in isolation.hides:
        if any(Path(path).is_relative_to(each) for each in shown):
            words += ["--tmpfs", path]
            inside = [each for each in isolation.shows if each != path and Path(each).is_relative_to(path)]
            for each in _outermost(inside):
                words += ["--ro-bind", each, each]
    words += ["--ro-bind", keeper.__file__, keeper.__file__]
    for path in isolation.writes:
        words += ["--bind", path, path]
    return [*words, "--remount-ro", "/", "--", *command]


@cache
def _has(option: str) -> bool:
    """Whether this version of bubblewrap knows an option."""
    done = subprocess.run([program() or "bwrap", "--help"], capture_output=True, text=True)
    return option in done.stdout + done.stderr


def program() -> str | None:
    """Bubblewrap's program, if it is installed."""
    return shutil.which("bwrap")


def _outermost(paths: Sequence[str]) -> list[str]:
    """Those of the paths that are there, and do not lie in another of them."""
    found: list[str] = []
    for path in sorted({os.path.abspath(path) for path in paths if os.path.exists(path)}):
        if not any(Path(path).is_relative_to(each) for each in found):
            found.append(path)
    return found


def tool_homes() -> dict[str, str]:
    """The variables that name the homes of tools, for code that has another home than ours."""
    usual = {name: Path.home() / place for name, place in _USUAL.items() if name not in os.environ}
    return {name: str(place) for name, place in usual.items() if place.is_dir()}


@cache
def _shown() -> tuple[str, ...]:
    return (*_SYSTEM, *_python(), *_places({**os.environ, **tool_homes()}))


def _python() -> Iterator[str]:
    """Where our Python is, and its libraries, which a submission may use, too."""
    yield from (sys.prefix, sys.base_prefix, os.path.realpath(sys.executable))
    yield from (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    yield from [site.getusersitepackages()] if site.ENABLE_USER_SITE else []


def _places(given: Mapping[str, str]) -> Iterator[str]:
    """Where the tools of other languages are."""
    for name in _TOOLS:
        for place in given.get(name, "").split(os.pathsep):
            yield from _tools(place)
    for place in given.get("PATH", os.defpath).split(os.pathsep):
        if place and os.path.isabs(place):
            yield from (place, os.path.realpath(place))
            # node lies in …/node/bin, and needs …/node/lib.
            for each in {place, os.path.realpath(place)}:
                yield from _tools(os.path.dirname(each)) if os.path.basename(each) == "bin" else ()


def _tools(place: str) -> Iterator[str]:
    """What is shown of a folder of tools. A home is none, nor is what the current folder lies in."""
    if not os.path.isabs(place):
        return
    path, home = Path(os.path.realpath(place)), Path(os.path.realpath(Path.home()))
    if any(Path(os.path.realpath(each)).is_relative_to(path) for each in (home, Path.cwd())):
        return
    yield from [place] if path.parent != home else (os.path.join(place, part) for part in _PARTS)
