"""A server that did not start because it cannot use a component: what it says of that, as data.

The server speaks English only, and so does what is started in its place if it could not be built. The
sentence is recognised by the texts that `lab/loader.py` and `harness/typescript` fill in, and can then be
said in the language of the report.
"""

from __future__ import annotations

from msgspec.structs import replace

from harness.checkers.catalogue import Anomaly
from harness.texts import texts

_BEGINS = "Error: "
"""How the server's last words begin (click puts that before them)."""
_TABLES = ("component", "typescript")
"""Where the texts stand that it may say."""


def problem_in(text: str) -> tuple[str, dict[str, str]] | None:
    """The key and the parameters of the sentence that ends a text, if it is one of the loader's."""
    _, begins, sentence = f"\n{text}".rpartition(f"\n{_BEGINS}")
    if not begins:
        return None
    of_python, of_typescript = (texts("en").recognised(table, sentence.rstrip()) for table in _TABLES)
    # Whatever Python raises has a place and a text: that also fits what TypeScript's compiler says.
    if of_python is None or (of_python[0] == "component.raised" and of_typescript is not None):
        return of_typescript
    return of_python


def with_problem(anomaly: Anomaly) -> Anomaly:
    """A failed start with the problem that the server named; any other finding as it is."""
    if (anomaly.name, anomaly.variant) != ("no_start", "exited"):
        return anomaly
    found = problem_in(str(anomaly.params.get("output", "")))
    if found is None:
        return anomaly
    key, params = found
    return replace(anomaly, params={**anomaly.params, **params, "problem": key}, variant="component")
