"""Submissions in TypeScript that try for points without an answer, or to harm, in the first exercise."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.grading.classroom import ROOT

_STUB = (ROOT / "exercises" / "typescript" / "src" / "pub-sub.ts").read_text(encoding="utf-8")
_ANSWER = ROOT / "solutions" / "typescript" / "pub-sub"

_SEARCH = """
import fs from "node:fs";
function search(place: string, depth: number): string | undefined {
  let names: string[] = [];
  try { names = fs.readdirSync(place); } catch { return undefined; }
  for (const name of names) {
    const path = `${place}/${name}`;
    if (["/proc", "/sys", "/dev", "/usr", "/lib", "/etc"].includes(path)) continue;
    try {
      if (name.startsWith("pub-sub.") && fs.readFileSync(path, "utf8").includes("new Map")) return path;
      if (fs.statSync(path).isDirectory() && depth < 9) {
        const found = search(path, depth + 1);
        if (found !== undefined) return found;
      }
    } catch { continue; }
  }
  return undefined;
}
const path = search("", 0) ?? search(ROOT, 0);
if (path === undefined) throw new Error("found nothing");
const answer = fs.readFileSync(path, "utf8").replace(/^import.*$/gm, "");
const text = answer.replace("export ", "globalThis.Found = ");
try {
  new Function(text)();
} catch {
  new Function(text.replace(/: (types[.]\\w+|string|void)(\\[\\])?/g, ""))();
}
"""
_DELEGATE = """
const Found: any = (globalThis as any).Found;
for (const name of Object.getOwnPropertyNames(Found.prototype)) {
  if (name !== "constructor") (PubSub.prototype as any)[name] = function (...args: any[]) {
    this.found ??= new Found();
    return this.found[name](...args);
  };
}
"""
_FORGE = """
import fs from "node:fs";
for (let number = 3; number < 40; number++) {
  try {
    if (fs.readlinkSync(`/proc/self/fd/${number}`).startsWith("pipe:")) {
      fs.writeSync(number, '{"do":"result","id":1,"value":0}\\n{"do":"idle","cpu":0}\\n');
    }
  } catch { continue; }
}
"""
_PATCH = """
const real = JSON.stringify;
JSON.stringify = (value: any) => real(value?.do === "result" ? { ...value, value: [] } : value);
Array.prototype.map = function () { return []; } as any;
(Object.prototype as any).toJSON = function () { return { do: "idle", cpu: 0, spent: [] }; };
"""
_KILL = """
import { spawnSync } from "node:child_process";
import fs from "node:fs";
let pid = process.ppid;
for (let depth = 0; pid > 1 && depth < 12; depth++) {
  let next = 0;
  const about = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  next = Number(about.split(") ")[1]?.split(" ")[1]);
  const words = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
  if (words.includes("harness") || words.includes("chatlab")) spawnSync("kill", ["-9", String(pid)]);
  pid = next;
}
throw new Error("that was all");
"""
_EDIT = """
import fs from "node:fs";
const places = [
  new URL("hub.js", import.meta.url).pathname,
  new URL("../node_modules/ws/edited.js", import.meta.url).pathname,
  `${ROOT}/exercises/typescript/node_modules/ws/edited.js`,
  `${ROOT}/harness/typescript/edited.mjs`,
];
for (const path of places) {
  try { fs.appendFileSync(path, "// edited"); console.error("EDITED", path); } catch { continue; }
}
throw new Error("that was all");
"""
_LOOK = """
import fs from "node:fs";
const seen = [JSON.stringify(process.env), ...fs.readdirSync("/proc").filter((name) => Number(name) > 0)];
for (const place of [ROOT, `${ROOT}/harness`, `${ROOT}/solutions`, `${ROOT}/exercises/typescript/src`]) {
  try { seen.push(...fs.readdirSync(place)); } catch { continue; }
}
throw new Error(seen.join(" "));
"""

DISHONEST_IN_TYPESCRIPT: dict[str, str] = {
    "ts-imports-the-answer": f'import "{_ANSWER}.js";\n{_STUB}',
    "ts-refers-to-the-answer": f'/// <reference types="{_ANSWER}.ts" />\n{_STUB}',
    "ts-searches-the-answer": f"{_SEARCH}\n{_STUB}\n{_DELEGATE}",
    "ts-forges-answers": f"{_STUB}\n{_FORGE}",
    "ts-patches-builtins": f"{_STUB}\n{_PATCH}",
    "ts-kills-who-judges": f"{_STUB}\n{_KILL}",
    "ts-edits-what-it-finds": f"{_STUB}\n{_EDIT}",
    "ts-looks-around": f"{_STUB}\n{_LOOK}",
}
"""By what they do. None has more than the handout's own points to earn."""


def make(folder: Path, names: list[str] | None = None) -> Path:
    """Write these (or all) into a class, beside one honest and right submission."""
    shutil.copytree(_ANSWER.parent, folder / "ts-honest" / "src")
    for name in names or DISHONEST_IN_TYPESCRIPT:
        (folder / name / "src").mkdir(parents=True)
        text = DISHONEST_IN_TYPESCRIPT[name]
        if "ROOT" in text:
            text = f'const ROOT = "{ROOT}";\n{text}'
        (folder / name / "src" / "pub-sub.ts").write_text(text, encoding="utf-8")
    return folder
