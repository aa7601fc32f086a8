// Where in a student's own file something happened, by the source maps of the compiled ones.

import { original, pathOf } from "../../typescript/main_thread.mjs";

const FRAME = /^\s+at (?:(?<name>.+?) \()?(?:async )?(?<file>[^()]+?):(?<line>\d+):(?<column>\d+)\)?$/;

/** The innermost place in an error's stack that is in a file of this folder; null if there is none. */
export function whereOf(error, folder) {
  for (const each of String(error.stack ?? "").split("\n")) {
    const frame = FRAME.exec(each)?.groups;
    if (!frame) continue;
    const file = pathOf(frame.file);
    if (folder && file.startsWith(folder)) {
      const name = (frame.name ?? "").replace(/^(async|new) /, "");
      return { ...original(file, Number(frame.line), Number(frame.column)), name };
    }
  }
  return null;
}
