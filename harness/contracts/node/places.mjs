// Where in a student's own file something happened, by the source maps of the compiled ones.

import fs from "node:fs";
import { SourceMap } from "node:module";
import { fileURLToPath } from "node:url";

const FRAME = /^\s+at (?:(?<name>.+?) \()?(?:async )?(?<file>[^()]+?):(?<line>\d+):(?<column>\d+)\)?$/;
const maps = new Map();

function mapOf(file) {
  if (!maps.has(file)) {
    let found = null;
    try {
      found = new SourceMap(JSON.parse(fs.readFileSync(`${file}.map`, "utf8")));
    } catch {
      // It was not compiled: its own lines are what counts.
    }
    maps.set(file, found);
  }
  return maps.get(file);
}

/** The place in the source: `{ file, line, name }`. */
export function original(file, line, column, name) {
  const found = mapOf(file)?.findEntry(line - 1, column - 1);
  if (!found?.originalSource) return { file, line, name };
  const source = found.originalSource;
  return { file: source.startsWith("file:") ? fileURLToPath(source) : source, line: found.originalLine + 1, name };
}

/** The innermost place in an error's stack that is in a file of this folder; null if there is none. */
export function whereOf(error, folder) {
  for (const each of String(error.stack ?? "").split("\n")) {
    const frame = FRAME.exec(each)?.groups;
    if (!frame) continue;
    const file = frame.file.startsWith("file:") ? fileURLToPath(frame.file) : frame.file;
    if (folder && file.startsWith(folder)) {
      const name = (frame.name ?? "").replace(/^(async|new) /, "");
      return original(file, Number(frame.line), Number(frame.column), name);
    }
  }
  return null;
}
