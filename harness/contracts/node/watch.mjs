// A thread that notices when a turn of the host never ends, and says where: in a line on standard error.
//
// The main thread counts its turns in shared memory: odd while it works. If one lasts, and takes processor time
// or sleeps all the while, the debugger tells where the main thread is, also in the middle of a loop.

import fs from "node:fs";
import { Session } from "node:inspector";
import { fileURLToPath } from "node:url";
import { parentPort, workerData } from "node:worker_threads";

import { original } from "./places.mjs";

const PERIOD = 100; // milliseconds
const LONG = 1000; // of processor time in one turn
const ASLEEP = 5000; // for which a turn may last without
const LOOKS = 20; // until the main thread is in the component's own code

const { turns, folder } = workerData;
const session = new Session();
let seen = 0;
let began = 0;
let used = 0;

function spent() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

let isLooking = false;
parentPort.postMessage("ready");

setInterval(() => {
  const turn = Atomics.load(turns, 0);
  if (turn !== seen) [seen, began, used] = [turn, performance.now(), spent()];
  const isLong = spent() - used > LONG || performance.now() - began > ASLEEP;
  if (turn % 2 === 1 && isLong && !isLooking) {
    isLooking = true; // this timer keeps the thread alive meanwhile
    look();
  }
}, PERIOD);

function look(left = LOOKS) {
  const files = new Map();
  session.connectToMainThread();
  session.on("Debugger.scriptParsed", ({ params }) => files.set(params.scriptId, pathOf(params.url)));
  session.on("Debugger.paused", ({ params }) => {
    const own = params.callFrames.find(({ location }) => isOwn(files.get(location.scriptId) ?? ""));
    session.post("Debugger.resume");
    if (own) tell(files.get(own.location.scriptId), own);
    else if (--left > 0) session.post("Debugger.pause");
  });
  session.post("Debugger.enable");
  session.post("Debugger.pause");
}

function pathOf(url) {
  return url.startsWith("file:") ? fileURLToPath(url) : url;
}

function isOwn(file) {
  return file.startsWith(folder);
}

function tell(file, { functionName, location }) {
  const place = original(file, location.lineNumber + 1, location.columnNumber + 1, functionName);
  fs.writeSync(2, `stuck ${JSON.stringify(place)}\n`);
  session.disconnect();
}
