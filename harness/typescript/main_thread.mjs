// Where the main thread of a Node process is, asked from another thread: also in a loop that never ends.
//
// The debugger stops it for a moment. Positions are those of the files that somebody has written, by the source
// maps of the compiled ones.

import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

const TRIES = 20; // until the main thread is in code that is meant
const maps = new Map();

/** The path of a file that V8 names by a path or a URL. */
export function pathOf(url) {
  return url.startsWith("file:") ? fileURLToPath(url) : url;
}

/** The place in the source of a compiled file, `{ file, line, column }`; lines and columns count from 1. */
export function original(file, line, column) {
  const found = mapOf(file)?.findEntry(line - 1, column - 1);
  if (!found?.originalSource) return { file, line, column };
  const source = fileURLToPath(new URL(found.originalSource, pathToFileURL(`${file}.map`)));
  return { file: source, line: found.originalLine + 1, column: found.originalColumn + 1 };
}

function mapOf(file) {
  if (!maps.has(file)) {
    let found;
    try {
      found = new SourceMap(JSON.parse(readFileSync(`${file}.map`, "utf8")));
    } catch {
      // It was not compiled: its own lines are what counts.
    }
    maps.set(file, found);
  }
  return maps.get(file);
}

/**
 * Have the main thread stop where it is, for a moment, and call `found` with its frames, innermost first.
 *
 * Each is `{ file, line, column, name, owner }` in the compiled file; there are none if the main thread has gone
 * on, which `isStill` says. A frame of code that is meant, by `isMeant(file)`, is waited for some times. `stop` of
 * what is returned gives up, so that the main thread never stops elsewhere. `Session` is that of `node:inspector`.
 */
export function look(Session, isStill, isMeant, found) {
  let session;
  let isStopped = false;
  let tries = TRIES;
  const stop = () => {
    if (isStopped) return;
    isStopped = true;
    try {
      session?.disconnect();
    } catch {
      // it never was connected
    }
  };
  try {
    session = new Session();
    session.connectToMainThread();
    const urls = new Map();
    session.on("Debugger.scriptParsed", ({ params }) => urls.set(params.scriptId, params.url));
    session.on("Debugger.paused", ({ params }) => {
      if (isStopped) return;
      const frames = isStill() ? params.callFrames.map((each) => frameOf(each, urls)) : [];
      session.post("Debugger.resume");
      if (frames.length > 0 && !frames.some(({ file }) => isMeant(file)) && tries > 0) {
        tries -= 1; // between two microtasks, for instance
        session.post("Debugger.pause");
        return;
      }
      session.post("Debugger.disable");
      stop();
      found(frames);
    });
    session.post("Debugger.enable");
    session.post("Debugger.pause");
  } catch {
    stop();
  }
  return { stop };
}

function frameOf({ functionName, location, this: owner }, urls) {
  const { scriptId, lineNumber, columnNumber = 0 } = location;
  return {
    file: pathOf(urls.get(scriptId) ?? ""),
    line: lineNumber + 1,
    column: columnNumber + 1,
    name: functionName,
    owner: owner?.type === "object" ? owner.className : "",
  };
}
