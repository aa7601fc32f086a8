"""The environment variables of a judged server: one policy for all commands.

A server gets those of whoever calls the kit, without what configures our own programs: settings of the
reference server, which a shell may have for another program, would change what is judged; and so would
switches of Python such as PYTHONOPTIMIZE. `chatlab grade` passes on a list of names only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

OF_THE_REFERENCE = {
    *("HOST", "PORT", "DATA_DIR", "HEARTBEAT_INTERVAL", "OFFLINE_TIMEOUT", "MAX_FRAME", "MAX_NAME"),
    *("MAX_RATE", "MAX_ROOMS", "MAX_CONNECTIONS", "ACCESS_KEY", "ORIGIN", "LOG_LEVEL", "HEALTH_PORT"),
    *("BACKPLANE", "ROOMS"),
}
"""What sets an option of the reference server. The check says all that the protocol lets it say by itself."""
SCRATCH = "CHATLAB_SCRATCH"
"""Names a folder for all temporary files of one grading, for the processes that play."""
_OURS = ("CHATLAB_", "WEBSOCKETS_", "LOCUST_", "PYTEST_")
_WHERE_MODULES_ARE = {"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX"}
"""The variables of Python that do not change what a program does."""

MANAGERS = ("PM2_HOME", "TMUX_TMPDIR")
"""Each names a folder where a tool finds a program of its own that runs already, and has it run the server.

That one is not ended with the server, runs others, too, and starts again what we end. So a server gets a
folder of its own here, and the tool starts another one, below the server's keeper."""
_LONGEST = 80
"""Bytes of such a folder's name. They make sockets there, whose names have at most 103 on some systems."""
_INSIDE = {"TMUX", "TMUX_PANE", "STY"}
"""What says in which tmux or screen the caller is."""

IN_CLASS = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "TZ"),
    *("LANG", "LC_ALL", "LC_CTYPE", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "NODE_PATH"),
    *("JAVA_HOME", "GRADLE_USER_HOME", "MAVEN_HOME", "M2_HOME", "GOPATH", "GOROOT", "GOCACHE", "GOMODCACHE"),
    *("CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "DOTNET_ROOT", "DOTNET_CLI_HOME", "NUGET_PACKAGES"),
    *("NVM_DIR", "DENO_DIR", "BUN_INSTALL", "GEM_HOME", "GEM_PATH", "MIX_HOME", "HEX_HOME", "COMPOSER_HOME"),
    *("PYENV_ROOT", "ASDF_DATA_DIR", "MISE_DATA_DIR", "SDKMAN_DIR", "VOLTA_HOME", "FNM_DIR", "RBENV_ROOT"),
    *("WORKON_HOME", "POETRY_VIRTUALENVS_PATH", "POETRY_CACHE_DIR", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR"),
    *("NPM_CONFIG_CACHE", "npm_config_cache", "PNPM_HOME", "COREPACK_HOME"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LD_LIBRARY_PATH"),
)
"""What servers of a class see: where the tools of common languages are, and nothing that may be a secret."""


def of_server(
    settings: Mapping[str, str], passed: Sequence[str] | None = None, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables for a server: `settings`, and what is passed on of those `given` (ours, by default).

    `passed` are the names of all variables that may be passed on; None stands for any.
    """
    ours = os.environ if given is None else given
    kept = {name: ours[name] for name in ours if _is_neutral(name) and (passed is None or name in passed)}
    if "PATH" in kept:
        kept["PATH"] = _path(kept["PATH"], kept)
    if kept.get("PYTHONPATH"):  # an empty one is none; a server may run in another folder
        places = kept["PYTHONPATH"].split(os.pathsep)
        kept["PYTHONPATH"] = os.pathsep.join(os.path.abspath(place) for place in places)
    # These two make a Python server print at once, and say where it hangs when it is aborted.
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", **settings}


def own_managers(folder: Path) -> dict[str, str]:
    """The variables that make a folder the place of process managers, unless its name is too long."""
    return dict.fromkeys(MANAGERS, str(folder)) if len(os.fsencode(folder)) <= _LONGEST else {}


def scratch() -> str | None:
    """Where servers have their data, if that is to be removed even after we are killed; else None."""
    return os.environ.get(SCRATCH)


def names_passed(passed: Sequence[str]) -> list[str]:
    """Those of the names that are set here, and are passed on."""
    return sorted(name for name in passed if name in os.environ and _is_neutral(name))


def _is_neutral(name: str) -> bool:
    if name.startswith("PYTHON"):
        return name in _WHERE_MODULES_ARE
    return name not in (OF_THE_REFERENCE | _INSIDE) and not name.startswith(_OURS)


def _path(path: str, given: Mapping[str, str]) -> str:
    """PATH, on which `python` is the Python that runs the kit, if that is a virtual environment's.

    So it is the same whether the environment of the kit is activated or not. Another one that is activated
    stays.
    """
    is_virtual = sys.prefix != sys.base_prefix
    active = given.get("VIRTUAL_ENV")
    if not is_virtual or (active and Path(active).resolve() != Path(sys.prefix).resolve()):
        return path
    return os.pathsep.join([str(Path(sys.executable).parent), path])
