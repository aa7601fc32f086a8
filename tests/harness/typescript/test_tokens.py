"""The names of modules and classes are read from code, and from nothing else."""

from __future__ import annotations

import time

import pytest

from harness.typescript.tokens import Import, classes_in, imports_in, relative_names_in


@pytest.mark.parametrize(
    "line",
    [
        'import { x } from "./a.js";',
        "import type { x } from './a.js';",
        'import "./a.js";',
        'export * from "./a.js";',
        'export { x } from "./a.js";',
        'const x = await import("./a.js");',
        "const x = await import(`./a.js`);",
        'import x = require("./a.js");',
        'type X = import("./a.js").X;',
        "import { x } from // of mine\n './a.js';",
        '/// <reference path="./a.js" />',
        'const half = 1 / 2; import("./a.js") / 3;',
        'if (x) /"/.test(y); import("./a.js");',
        'const t = `${ { a: `"${1}` }.a }`; import("./a.js");',
    ],
)
def test_each_kind_of_import_is_found(line: str) -> None:
    """With its line, whatever stands around it."""
    (found,) = imports_in(f"// first\n{line}\n")
    assert found.name == "./a.js"
    assert found.line == 2 + line.count("\n")


@pytest.mark.parametrize(
    "line",
    [
        '// import "./a.js"',
        '/* import "./a.js" */',
        "const text = 'import \"./a.js\"';",
        'const text = `import "./a.js"`;',
        'const text = `${1} from "./a.js"`;',
        'const pattern = /from "x"/;',
        'const from = "./a.js";',
        'log("./a.js")',
        "",
        '"',
    ],
)
def test_what_is_no_import(line: str) -> None:
    """Comments, texts, templates and regular expressions."""
    assert imports_in(line) == []


def test_names_that_may_be_modules() -> None:
    """A worker's file is named in a text that no import has."""
    assert relative_names_in('new Worker(new URL("./worker.js", import.meta.url))') == ["./worker.js"]


def test_classes_and_their_exports() -> None:
    """A class is exported by its name, as default, or not."""
    text = "export class A {}\nexport default class B {}\nexport abstract class C {}\nclass D {} // class E"
    assert classes_in(text) == [("A", "export"), ("B", "default"), ("C", "export"), ("D", "")]


@pytest.mark.parametrize("part", ['"\\"', "`${", "/[", "=/[", "/*", "'", "{", "}`", "import(", "(" * 7])
def test_no_text_takes_long(part: str) -> None:
    """Nor fails: what is not TypeScript, the compiler says."""
    began = time.process_time()
    imports_in(part * 20_000)
    assert time.process_time() - began < 2


def test_imports_are_in_their_order() -> None:
    """That of the lines."""
    text = 'import "./b.js";\n/// <reference path="./c.js" />\nimport "./a.js";\n'
    assert imports_in(text) == [Import("./b.js", 1), Import("./c.js", 2), Import("./a.js", 3)]
