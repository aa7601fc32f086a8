"""Drives any server that speaks the protocol, and judges it."""


def version() -> str:
    """The version of the kit; the word `uninstalled` if it is only on the path, as with PYTHONPATH."""
    from importlib import metadata  # late: most commands do not need it

    try:
        return metadata.version("chat-lab")
    except metadata.PackageNotFoundError:
        return "uninstalled"


def is_clone() -> bool:
    """Whether the kit is a folder to work in, with all of its files; else it was installed as a package."""
    from pathlib import Path  # late, likewise

    folder = Path(__file__).parent.parent
    return (folder / "pyproject.toml").is_file() and (folder / "constraints.txt").is_file()
