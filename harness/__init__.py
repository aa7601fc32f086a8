"""Drives any server that speaks the protocol, and judges it."""


def version() -> str:
    """The version of the kit; the word `uninstalled` if it is only on the path, as with PYTHONPATH."""
    from importlib import metadata  # late: most commands do not need it

    try:
        return metadata.version("chat-lab")
    except metadata.PackageNotFoundError:
        return "uninstalled"
