"""`chatlab export`: marks for portals, and folders to hand out."""

from __future__ import annotations

import click

from harness.cli import export_marks
from harness.cli.export_kits import KITS


@click.group()
def export() -> None:
    """Write marks for a portal, or a folder to hand out or to upload."""


for _command in export_marks.COMMANDS:
    export.add_command(_command)
for _kit in KITS:
    export.add_command(_kit)
