// Watches the event loop of a server: `node --import file:///…/watch_loop.mjs dist/index.js`.
//
// The main thread counts its turns. A thread of our own notices when it has not turned for a second, asks the
// debugger where it is, and writes that to standard error, in the form that `harness/history/raised_by_node.py`
// reads: once for each function, and again each time that twice as much time has passed, and at the end.
//
// It is no fault of the server's where the process was stopped (then this thread was, too), or where it could
// have gone on and no processor was free. The debugger is not attached before it is needed.

import { readFileSync, writeSync } from "node:fs";
import { Worker, isMainThread, workerData } from "node:worker_threads";

import { look, original } from "./main_thread.mjs";

const PERIOD = 100; // milliseconds between two ticks, and two looks at them
const LONG = 1000; // milliseconds; `?after=300` behind the name of this file is for tests
const MOST_FRAMES = 12;
const MOST_BLOCKS = 40;

if (isMainThread) {
  count();
} else if (workerData?.watchedTicks) {
  const inspector = await import("node:inspector").catch(() => undefined); // Node may be built without it
  if (inspector) watch(inspector.Session, workerData.watchedTicks, workerData.long);
}

function count() {
  const ticks = new Int32Array(new SharedArrayBuffer(4));
  setInterval(() => Atomics.add(ticks, 0, 1), PERIOD).unref();
  const here = new URL(import.meta.url);
  const long = Number(here.searchParams.get("after") ?? LONG);
  const worker = new Worker(here, { workerData: { watchedTicks: ticks, long }, execArgv: [] });
  worker.on("error", () => {}); // what happens to it is no matter of the server's
  worker.unref();
}

function watch(Session, ticks, long) {
  let seen = Atomics.load(ticks, 0);
  let last = performance.now();
  let stood = 0; // milliseconds without a tick
  let queued; // milliseconds that the main thread had waited for a processor when it stood still first
  let block; // where it stands, once that is known
  let looking; // the look for it
  const told = new Map(); // by function: how many milliseconds were told of it
  let left = MOST_BLOCKS;

  setInterval(() => {
    const now = performance.now();
    const passed = Math.min(now - last, 2 * PERIOD); // more: this thread did not run either
    last = now;
    if (Atomics.load(ticks, 0) !== seen) {
      seen = Atomics.load(ticks, 0);
      looking?.stop();
      if (block && lasted() > (told.get(block.key) ?? 0) + PERIOD) tell("was", "");
      block = looking = queued = undefined;
      stood = 0;
      return;
    }
    queued ??= waitedForProcessor();
    stood += passed;
    if (lasted() < long) return;
    looking ??= look(
      Session,
      // Asked when it has stopped: the system says how long a thread has waited when that is over.
      () => Atomics.load(ticks, 0) === seen && lasted() >= long,
      isOwn,
      (frames) => {
        if (frames.length === 0) {
          looking = undefined;
          return;
        }
        block = blockOf(frames);
        if (lasted() > 1.2 * (told.get(block.key) ?? 0)) tell("has been", " so far");
      },
    );
    if (block && lasted() >= 2 * (told.get(block.key) ?? 0)) tell("has been", " so far");
  }, PERIOD);

  function lasted() {
    return stood - (waitedForProcessor() - queued);
  }

  function tell(verb, end) {
    if (left <= 0) return;
    const milliseconds = lasted();
    left -= 1;
    told.set(block.key, milliseconds);
    const seconds = (milliseconds / 1000).toFixed(1);
    const text = `[chatlab] the event loop ${verb} blocked for ${seconds} s${end}\n${block.lines.join("")}`;
    try {
      writeSync(2, text);
    } catch {
      // nobody reads it
    }
  }
}

// The milliseconds for which the main thread could have run, and no processor was free; only Linux tells.
function waitedForProcessor() {
  try {
    const text = readFileSync(`/proc/self/task/${process.pid}/schedstat`, "latin1");
    return Number(text.split(" ")[1]) / 1e6 || 0;
  } catch {
    return 0;
  }
}

function isOwn(file) {
  return !/^node:|[/\\]node_modules[/\\]/.test(file);
}

function blockOf(frames) {
  const places = frames.map((each) => ({ name: nameOf(each), ...original(each.file, each.line, each.column) }));
  const own = places.find(({ file }) => isOwn(file)) ?? places[0];
  const lines = places.slice(0, MOST_FRAMES).map(({ name, file, line, column }) => {
    const place = `${file}:${line}:${column}`;
    return `    at ${name ? `${name} (${place})` : place}\n`;
  });
  return { key: `${own.file} ${own.name}`, lines };
}

function nameOf({ name, owner }) {
  const isMethod = name && owner && !["Object", "global", "Array"].includes(owner);
  return isMethod ? `${owner}.${name}` : name;
}
