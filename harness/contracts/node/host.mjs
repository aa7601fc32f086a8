// Runs a component in simulated time, as told by the contract in Python: see `__init__.py`.
//
// The two processes talk in lines of JSON. A message to us begins a turn: it calls something, answers something
// that the component has asked, or fires a timer. We go on until no promise, no `nextTick` and no system call is
// left, and say `idle`.
//
// What the component calls in a synchronous way (`member.send`) is answered at once: we block until the answer
// is here, and meanwhile do what Python asks: a member's `send` may end in `subscribe`.

import { AsyncLocalStorage } from "node:async_hooks";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { inspect } from "node:util";
import { Worker } from "node:worker_threads";

import { makeClock } from "./clock.mjs";
import { makeFiles } from "./files.mjs";
import { Modules } from "./modules.mjs";
import { whereOf } from "./places.mjs";
import { seal } from "./seal.mjs";
import { compression } from "./threads.mjs";

const [INPUT, OUTPUT] = process.argv.slice(2).map(Number); // descriptors
const FOLDER = process.argv[4]; // of the compiled component
process.argv.length = 2;
const MOST_VALUES = 20_000; // in one answer
const DEEPEST = 8;
const OWN = Symbol("the id of a stand-in");

const realSetImmediate = setImmediate;
const realSetInterval = setInterval;
const { readSync, writeSync } = fs; // as they are before a component can change them
const callers = new AsyncLocalStorage(); // on behalf of which call of Python's something happens

// --- messages -------------------------------------------------------------------------------------

const piece = Buffer.allocUnsafe(64 * 1024);
let unread = Buffer.alloc(0);
let unsent = "";
let isAlone = true; // whether no member calls the component when it is sent something
const { word } = nextMessage(); // with which each of our lines begins: a component does not know it

/** The next message: a line. What we have to say goes out before, all in one piece. */
function receive() {
  flush();
  Atomics.add(turns, 0, 1);
  const message = nextMessage();
  Atomics.add(turns, 0, 1);
  clock.set(message.now);
  isAlone = message.isAlone;
  return message;
}

function nextMessage() {
  let end = unread.indexOf(10);
  const pieces = [];
  while (end < 0) {
    pieces.push(unread);
    const count = readSync(INPUT, piece, 0, piece.length, null);
    if (count === 0) process.reallyExit(0); // the contract has ended
    unread = Buffer.from(piece.subarray(0, count));
    end = unread.indexOf(10);
  }
  const line = Buffer.concat([...pieces, unread.subarray(0, end)]).toString();
  unread = unread.subarray(end + 1);
  return JSON.parse(line);
}

function send(message) {
  unsent += `${word}${JSON.stringify(message)}\n`;
}

function flush() {
  if (unsent === "") return;
  const bytes = Buffer.from(unsent);
  unsent = "";
  for (let at = 0; at < bytes.length; ) at += writeSync(OUTPUT, bytes, at);
}

// --- values: what cannot be told as JSON is tagged by "$" -----------------------------------------

let count = 0;

function encoded(value, depth = 0) {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return value;
  if (value === undefined) return { $: "undefined" };
  if (typeof value === "number" && Number.isFinite(value)) return value;
  const isOdd = typeof value !== "object" || depth > DEEPEST || count++ > MOST_VALUES;
  if (isOdd) return other(value);
  if (value[OWN] !== undefined) return { $: "stand-in", id: value[OWN] };
  if (Array.isArray(value)) return value.map((each) => encoded(each, depth + 1));
  if (isSpecial(value)) return other(value);
  const fields = {};
  for (const [name, each] of Object.entries(value)) fields[name] = encoded(each, depth + 1);
  return fields;
}

function isSpecial(value) {
  const kinds = [Map, Set, WeakMap, Date, Promise, Error, RegExp, ArrayBuffer, Number, String];
  return ArrayBuffer.isView(value) || kinds.some((kind) => value instanceof kind) || Symbol.iterator in value;
}

function other(value) {
  return { $: "other", text: inspect(value, { depth: 1, breakLength: Infinity, maxStringLength: 60 }) };
}

function encodedResult(value) {
  count = 0;
  if (!Array.isArray(value)) return encoded(value);
  arrays.push(value); // Python may look at it later, or change it
  return { $: "array", id: arrays.length - 1, items: encoded(value) };
}

function decoded(value) {
  if (Array.isArray(value)) return value.map(decoded);
  if (value === null || typeof value !== "object") return value;
  if (value.$ === "undefined") return undefined;
  if (value.$ === "stand-in") return standIn(value.kind, value.id);
  for (const name of Object.keys(value)) value[name] = decoded(value[name]);
  return value;
}

// --- errors ---------------------------------------------------------------------------------------

const known = new WeakMap(); // errors that were Python's first: their numbers there

function encodedError(error) {
  if (typeof error !== "object" || error === null) {
    return { name: "", message: `${other(error).text} was thrown, which is no Error`, where: null };
  }
  const text = (name) => (typeof error[name] === "string" ? error[name] : "");
  return {
    name: text("name") || "Error",
    message: text("message"),
    code: text("code"),
    errno: typeof error.errno === "number" ? error.errno : null,
    id: known.get(error) ?? null,
    where: whereOf(error, modules.folder),
  };
}

function decodedError({ kind, message, code, errno, id }) {
  const made = kind === "StoreError" ? modules.storeError(message) : new Error(message);
  if (code) Object.assign(made, { code, errno, syscall: "write" });
  known.set(made, id);
  return made;
}

// --- what belongs to Python, and the component calls it -------------------------------------------

const METHODS = {
  member: { send: "told", drain: "later" },
  pubsub: { subscribe: "told", unsubscribe: "told", publish: "told", members: "now", rooms: "now" },
  store: { save: "later", page: "later", newest: "later", last: "later", find: "later", close: "now" },
};
let standIns = new Map();
let waiting = new Map(); // what the component waits for: number -> [resolve, reject]
let numbers = 0;

function standIn(kind, id) {
  if (!standIns.has(id)) {
    const made = Object.create({ [inspect.custom]: () => `a ${kind}` });
    Object.defineProperty(made, OWN, { value: id });
    for (const [method, when] of Object.entries(METHODS[kind])) {
      const call = when === "later" ? callLater : when === "now" ? callNow : tell;
      Object.defineProperty(made, method, { value: (...args) => call(id, method, args) });
    }
    standIns.set(id, made);
  }
  return standIns.get(id);
}

function request(action, id, method, args) {
  count = 0;
  const number = ++numbers;
  send({ do: action, id: number, caller: callers.getStore() ?? null, on: id, method, args: args.map((each) => encoded(each)) });
  return number;
}

/** Call what returns nothing: nobody waits, unless it may call the component in turn. */
function tell(id, method, args) {
  if (!isAlone) return callNow(id, method, args);
  request("tell", id, method, args);
}

function callNow(id, method, args) {
  request("call", id, method, args);
  return answer();
}

function answer() {
  for (;;) {
    const message = receive();
    if (message.op === "return") {
      if (message.error) throw decodedError(message.error);
      return decoded(message.value);
    }
    perform(message);
  }
}

function callLater(id, method, args) {
  const number = request("begin", id, method, args);
  return new Promise((resolve, reject) => {
    waiting.set(number, [resolve, reject]);
  });
}

// --- what Python asks for -------------------------------------------------------------------------

let instances = new Map();
let arrays = [];
let home = ""; // the folder that the component's process is in

const OPERATIONS = {
  /** A play begins: whatever was under way is forgotten. */
  play({ seed, root, now }) {
    [standIns, waiting, instances, arrays, numbers] = [new Map(), new Map(), new Map(), [], 0];
    home = ""; // a folder of the same name may be another one
    clock.reset(seed, now);
    files.watch(root);
  },
  async load({ id, file, component }) {
    try {
      send({ do: "result", id, value: await modules.load(file, component) });
    } catch (error) {
      send({ do: "result", id, error: encodedError(error) });
    }
  },
  make({ id, module, args, cwd }) {
    if (cwd !== home) process.chdir(cwd); // the last one may not be there any more
    home = cwd;
    attempt(id, () => {
      const kind = modules.kind(module);
      instances.set(id, new kind(...decoded(args)));
    });
  },
  call({ id, on, method, args, isLater }) {
    attempt(id, () => {
      const instance = instances.get(on);
      const result = callers.run(id, () => instance[method](...decoded(args)));
      const isPromise = typeof result?.then === "function";
      if (!isLater && isPromise) {
        result.then(null, () => {});
        throw new TypeError(`\`${method}\` returned a promise: it must not be \`async\``);
      }
      if (!isPromise) return result;
      result.then(
        (value) => send({ do: "result", id, value: encodedResult(value) }),
        (error) => send({ do: "result", id, error: encodedError(error) }),
      );
      return LATER;
    });
  },
  settle({ id, value, error }) {
    const [resolve, reject] = waiting.get(id) ?? [];
    waiting.delete(id);
    if (error) reject?.(decodedError(error));
    else resolve?.(decoded(value));
  },
  timer({ id }) {
    try {
      clock.fire(id);
    } catch (error) {
      send({ do: "unhandled", error: encodedError(error) });
    }
  },
  array({ id, array, isCleared }) {
    if (isCleared && !Object.isFrozen(arrays[array])) arrays[array].length = 0;
    count = 0;
    send({ do: "result", id, value: encoded(arrays[array]) });
  },
};
const LATER = Symbol("a promise was returned");

function attempt(id, action) {
  try {
    const value = action();
    if (value !== LATER) send({ do: "result", id, value: encodedResult(value) });
  } catch (error) {
    send({ do: "result", id, error: encodedError(error) });
  }
}

function perform(message) {
  return OPERATIONS[message.op](message);
}

// --- turns ----------------------------------------------------------------------------------------

const PATIENCE = 2000; // milliseconds that such a turn may last
let rounds = 0;
let [user, system] = [0, 0];
let isIdle = true; // before the first turn

/** A turn has ended: nothing is left to do. The next one begins. */
function nextTurn() {
  if (!isIdle) {
    if (++rounds % 20 === 0) ({ user, system } = process.cpuUsage());
    send({ do: "idle", cpu: (user + system) / 1e6, spent: clock.spent() });
  }
  isIdle = false;
  realSetImmediate(nothing); // so that there is something to do
  perform(receive());
}

function nothing() {}

/** A turn that goes on although nothing happens waits for something outside: a thread, a program, a connection. */
function watchForOthers() {
  let seen = -1;
  realSetInterval(() => {
    if (seen === rounds) {
      const open = process.getActiveResourcesInfo().filter((each) => !/Immediate|Timeout|TTY|Pipe/.test(each));
      send({ do: "lacking", what: modules.beyond.values().next().value ?? open[0] ?? "Node" });
      flush();
    }
    seen = rounds;
  }, PATIENCE).unref();
}

const clock = makeClock(send, () => whereOf(new Error(), modules.folder));
const files = makeFiles({
  later: () => clock.pause(),
  wrote(path, start, size) {
    send({ do: "wrote", path, start, size });
    answer();
  },
  synced: (inode, size) => send({ do: "synced", inode, size }),
});
const modules = new Modules({ "node:fs": files.fs, "node:fs/promises": files.promises, "node:zlib": compression, ...clock.modules });

process.on("unhandledRejection", (error) => send({ do: "unhandled", error: encodedError(error) }));
process.on("uncaughtException", (error) => send({ do: "unhandled", error: encodedError(error) }));
process.exit = (code) => {
  send({ do: "ended", by: `process.exit(${code ?? ""})`, where: whereOf(new Error("exit"), modules.folder) });
  flush();
  process.reallyExit(0);
};
process.abort = process.kill = process.exit;
syncBuiltinESMExports(); // for who imports these by their names

// To sleep in the event loop is told, and takes no time.
const realWait = Atomics.wait;
Atomics.wait = (array, index, value, milliseconds = Infinity) => {
  if (milliseconds === Infinity || Atomics.load(array, index) !== value) {
    return realWait(array, index, value, milliseconds);
  }
  send({ do: "blocked", milliseconds, where: whereOf(new Error("blocked"), modules.folder) });
  return "timed-out";
};

// A thread tells where we are if a turn never ends: odd numbers are turns.
const turns = new Int32Array(new SharedArrayBuffer(4));
turns[0] = 1;
const watcher = new Worker(new URL("watch.mjs", import.meta.url), { workerData: { turns, folder: FOLDER }, execArgv: [] });
watcher.once("message", () => watcher.unref()); // it needs the current folder until then, which a play removes
watcher.on("error", nothing);

seal();
// Node tells when nothing is left to do, be it in threads of its own (compression, names of hosts).
process.on("beforeExit", nextTurn);
watchForOthers();
