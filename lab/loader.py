"""Loads a component's class from a file, and says what is wrong with it before the server starts.

A file is looked at three times: its source is parsed (does it take a component from the kit itself?), it is
imported (does it run?), and the class found in it is compared with its interface (are all methods there, with
the right arguments, and `async` where they should be?). Whatever is wrong is a ComponentError, whose text
names the place and says what to do.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from lab import interfaces

INTERFACES: dict[str, type] = {
    "pubsub": interfaces.PubSub,
    "sequencer": interfaces.Sequencer,
    "presence": interfaces.PresenceManager,
    "store": interfaces.MessageStore,
}
_ALLOWED = {"lab.protocol", "lab.interfaces"}
_OURS = {"lab", "harness", "exercises", "solutions"}


class ComponentError(Exception):
    """A component cannot be used; the text says where and why, and what to do."""


def load(name: str, where: str | Path) -> type:
    """The class of component `name` (such as `sequencer`) in the file `where`, or in a folder of it.

    Raises ComponentError.
    """
    if name not in INTERFACES:
        raise ComponentError(f"there is no component `{name}`; {_did_you_mean(name, list(INTERFACES))}")
    path = locate(name, where)
    if not path.is_file():
        raise ComponentError(f"there is no file {path}, where {name}={where} looks for the component")
    _check_source(path)
    module = _import(name, path)
    interface = INTERFACES[name]
    found = getattr(module, interface.__name__, None)
    if not inspect.isclass(found):
        classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
        raise ComponentError(
            f"{path} has no class `{interface.__name__}`; "
            f"{_did_you_mean(interface.__name__, [c for c in classes if c[0] != '_'])}"
        )
    if found.__module__.partition(".")[0] in _OURS and found.__module__ not in _ALLOWED:
        raise ComponentError(_write_your_own(path, found.__module__))
    _check_methods(found, interface, path)
    return found


def locate(name: str, where: str | Path) -> Path:
    """The file that `name=where` means; in a folder it has the component's name."""
    path = Path(where)
    return path / f"{name}.py" if path.is_dir() else path


def _check_source(path: Path) -> None:
    """Raise ComponentError for what does not parse, and for imports of the kit's own answers."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        raise ComponentError(_syntax_error(path, error)) from None
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"lab.{alias.name}" for alias in node.names] if node.module == "lab" else [node.module]
        for each in names:
            if each.partition(".")[0] in _OURS and each not in _ALLOWED:
                raise ComponentError(_write_your_own(path, each, node.lineno))  # type: ignore[attr-defined]


class _AsSaved(SourceFileLoader):
    """Compiles the file as it is. Python takes what it compiled before, if the file's size and second are the
    same: so it would run what was saved a moment ago.
    """

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file."""
        return self.source_to_code(self.get_data(self.path), self.path)


def _import(name: str, path: Path) -> ModuleType:
    """Run the file as a module of its own; files beside it can be imported too."""
    loader = _AsSaved(f"component_{name}", str(path))
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    assert spec, "a .py file can be imported"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.append(str(path.resolve().parent))
    writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nor of the files beside it
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ComponentError(describe(error, path)) from error
    finally:
        sys.dont_write_bytecode = writes_none
    return module


def _check_methods(found: type, interface: type, path: Path) -> None:
    """Raise ComponentError for a method that is missing, or cannot be called as the interface says."""
    wanted: Callable[..., object]
    for method, wanted in inspect.getmembers(interface, inspect.isfunction):
        if method.startswith("_") and method != "__init__":
            continue
        if method == "__init__" and wanted.__name__ != method:  # what typing.Protocol puts there
            wanted = _no_arguments
        actual = inspect.getattr_static(found, method, None)
        if method == "__init__" and not inspect.isfunction(actual):
            actual = _no_arguments
        where = f"in {path}, `{found.__name__}.{method}`"
        if not inspect.isfunction(actual):
            raise ComponentError(f"{where} is missing; it should be `{_signature(wanted, method)}`")
        fits = _accepts(actual, wanted)
        if not fits or (inspect.iscoroutinefunction(wanted) and not inspect.iscoroutinefunction(actual)):
            raise ComponentError(
                f"{where} should be `{_signature(wanted, method)}`, and it is `{_signature(actual, method)}`"
            )
        if inspect.iscoroutinefunction(actual) and not inspect.iscoroutinefunction(wanted):
            raise ComponentError(f"{where} must not be `async`: it should be `{_signature(wanted, method)}`")


def _no_arguments(self: object) -> None:
    """The signature of a constructor that takes nothing."""


def _accepts(actual: Callable[..., object], wanted: Callable[..., object]) -> bool:
    """Whether `actual` can be called with as many positional arguments as `wanted` has."""
    try:
        arguments = list(inspect.signature(wanted).parameters)
        inspect.signature(actual).bind(*arguments)
    except TypeError:
        return False
    return True


def _signature(function: Callable[..., object], name: str) -> str:
    """How a method is defined, as text without types: "async def drain(self)"."""
    names = ", ".join(str(p).partition(":")[0] for p in inspect.signature(function).parameters.values())
    is_async = "async " if inspect.iscoroutinefunction(function) else ""
    return f"{is_async}def {name}({names})"


def blamed(error: BaseException, paths: list[Path]) -> Path:
    """The one of `paths` that `error` comes from: the last of them that was at work, else the first."""
    places = [Path(f.filename).resolve() for f in traceback.extract_tb(error.__traceback__)]
    by_place = {path.resolve(): path for path in paths}
    return next((by_place[place] for place in reversed(places) if place in by_place), paths[0])


def describe(error: BaseException, path: Path) -> str:
    """`error` in one line, with the place in `path` (or beside it) that it comes from."""
    folder = str(path.resolve().parent)
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(folder)]
    if isinstance(error, SyntaxError):
        return _syntax_error(Path(error.filename or path), error)
    if not own:  # imported by way of a relative name
        own = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == path.name]
    place = str(path)
    if own:
        beside = path if Path(own[-1].filename).name == path.name else Path(own[-1].filename)
        place = f"{beside}, line {own[-1].lineno}"
    text = str(error) or "no further text"
    return f"{place}: {type(error).__name__}: {text}" + (f"\n    {own[-1].line}" if own else "")


def _syntax_error(path: Path, error: Exception) -> str:
    """The place and text of a syntax error, with a caret below, as Python shows it."""
    line, text = getattr(error, "lineno", None), getattr(error, "text", None)
    place = f"{path}, line {line}" if line else str(path)
    shown = f"{place}: {type(error).__name__}: {getattr(error, 'msg', error)}"
    if text:
        column = max(int(getattr(error, "offset", None) or 1) - 1 - (len(text) - len(text.lstrip())), 0)
        shown += f"\n    {text.strip()}\n    {' ' * column}^"
    return shown


def _write_your_own(path: Path, module: str, line: int | None = None) -> str:
    place = f"{path}, line {line}" if line else str(path)
    return (
        f"{place} takes its component from `{module}`: write your own. "
        "A component imports lab.protocol, lab.interfaces and the standard library."
    )


def _did_you_mean(name: str, candidates: list[str]) -> str:
    near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"there is {', '.join(f'`{each}`' for each in candidates) or 'no class at all'}"
