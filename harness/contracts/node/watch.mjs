// A thread that notices when a turn of the host never ends, and says where: in a line on standard error.
//
// The main thread counts its turns in shared memory: odd while it works. If one lasts, and takes processor time
// or sleeps all the while, the debugger tells where the main thread is, also in the middle of a loop.

import fs from "node:fs";
import { Session } from "node:inspector";
import { parentPort, workerData } from "node:worker_threads";

import { look, original } from "../../typescript/main_thread.mjs";

const PERIOD = 100; // milliseconds
const LONG = 1000; // of processor time in one turn
const ASLEEP = 5000; // for which a turn may last without

const { turns, folder } = workerData;
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
    look(Session, () => true, isOwn, tell);
  }
}, PERIOD);

function tell(frames) {
  const own = frames.find(({ file }) => isOwn(file));
  if (!own) return;
  const place = { ...original(own.file, own.line, own.column), name: own.name };
  fs.writeSync(2, `stuck ${JSON.stringify(place)}\n`);
}

function isOwn(file) {
  return file.startsWith(folder);
}
