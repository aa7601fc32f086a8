// Does the same things with Node's own modules and with those that a component is given, and tells what came of it.
//
// The folder is the first argument, that of `harness/contracts/node` the second. Prints two lists as JSON.

import crypto from "node:crypto";
import { once } from "node:events";
import realFs from "node:fs";
import path from "node:path";
import { finished, pipeline } from "node:stream/promises";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import zlib from "node:zlib";
import realTimers from "node:timers/promises";

const [FOLDER, NODE] = process.argv.slice(2);
const real = {
  ...{ clearInterval, clearTimeout, setImmediate, setInterval, setTimeout, timeout: AbortSignal.timeout },
  ...{ crypto, fs: realFs, promises: realFs.promises, timers: realTimers, zlib },
};
const log = (list, name) => (...results) => list.push([name, ...results.map(plain)]);

function plain(value) {
  if (value instanceof Error) return { name: value.name, code: value.code, message: value.message, syscall: value.syscall };
  if (ArrayBuffer.isView(value)) return `bytes ${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1")}`;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof realFs.Stats) return { size: value.size, isFile: value.isFile(), isDirectory: value.isDirectory() };
  if (value instanceof realFs.Dirent) return { name: value.name, isFile: value.isFile() };
  if (value === undefined) return "undefined";
  if (value !== null && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
  return typeof value === "function" ? "function" : value;
}

/** What `work` returns, rejects with or throws. */
async function outcome(work) {
  try {
    return { is: plain(await work()) };
  } catch (error) {
    return { fails: plain(error) };
  }
}

const called = (begin) => new Promise((resolve, reject) => {
  try {
    begin((...results) => resolve(results));
  } catch (error) {
    reject(error);
  }
});

async function ofFiles({ fs, promises, zlib, crypto }, folder, told) {
  const at = (name) => path.join(folder, name);
  const tell = async (name, work) => told(name, await outcome(work));
  await tell("mkdir", () => promises.mkdir(at("a/b/c"), { recursive: true }));
  await tell("mkdir again", () => promises.mkdir(at("a/b/c"), { recursive: true }));
  await tell("mkdir EEXIST", () => promises.mkdir(at("a")));
  await tell("mkdirSync EEXIST", () => fs.mkdirSync(at("a")));
  await tell("mkdir callback", () => called((then) => fs.mkdir(at("a/d"), then)));
  await tell("open ENOENT", () => promises.open(at("none/x"), "w"));
  await tell("open EISDIR", () => promises.open(at("a"), "w"));
  await tell("open EEXIST", async () => (await promises.open(at("once"), "wx")).close());
  await tell("open EEXIST again", () => promises.open(at("once"), "wx"));
  await tell("open callback", () => called((then) => fs.open(at("none/x"), then)));
  await tell("readFile ENOENT", () => promises.readFile(at("none")));
  await tell("readFile EISDIR", () => promises.readFile(at("a")));
  await tell("readFile callback", () => called((then) => fs.readFile(at("once"), "utf8", then)));
  await tell("no callback", () => fs.readFile(at("once")));
  await tell("exists", () => called((then) => fs.exists(at("once"), then)));
  await tell("exists promisified", () => promisify(fs.exists)(at("once")));
  await tell("access", () => promises.access(at("none")));
  await tell("rename ENOENT", () => promises.rename(at("none"), at("other")));
  await tell("rmdir ENOTEMPTY", () => promises.rmdir(at("a")));
  await tell("unlink", () => called((then) => fs.unlink(at("once"), then)));

  for (const [name, data, options] of [
    ["text", "héllo\n", undefined],
    ["latin", "héllo\n", "latin1"],
    ["hex", "616263", { encoding: "hex", flag: "a" }],
    ["buffer", Buffer.from("abc"), { mode: 0o600, flush: true }],
    ["words", new Uint16Array([0x4142, 0x4344]), null],
    ["view", new DataView(new ArrayBuffer(3)), { flag: "w" }],
    ["series", ["one", Buffer.from("two")], undefined],
    ["generated", (async function* () { yield "three"; yield "four"; })(), { encoding: "utf8" }],
  ]) {
    await tell(`writeFile ${name}`, () => promises.writeFile(at("w"), data, options));
    await tell(`written ${name}`, () => promises.readFile(at("w"), { encoding: "latin1" }));
  }
  const stopped = new AbortController();
  stopped.abort();
  await tell("writeFile aborted", () => promises.writeFile(at("w"), "x", { signal: stopped.signal }));
  await tell("readFile aborted", () => promises.readFile(at("w"), { signal: stopped.signal }));
  await tell("appendFile URL", () => promises.appendFile(pathToFileURL(at("w")), "!"));
  await tell("appendFileSync", () => fs.appendFileSync(at("w"), "?"));
  await tell("readFileSync", () => fs.readFileSync(at("w"), "utf8"));
  await tell("copyFile", () => promises.copyFile(at("w"), at("copy")));
  await tell("truncate", () => promises.truncate(at("copy"), 2));
  await tell("stat", () => promises.stat(at("copy")));
  await tell("stat ENOENT", () => fs.statSync(at("none"), { throwIfNoEntry: false }));
  await tell("readdir", () => promises.readdir(folder));
  await tell("readdir withFileTypes", () => promises.readdir(folder, { withFileTypes: true }));
  await tell("readdir callback", () => called((then) => fs.readdir(at("a"), then)));
  await tell("rm ENOENT", () => promises.rm(at("none")));
  await tell("rm force", () => promises.rm(at("none"), { force: true }));
  await tell("rm EISDIR", () => promises.rm(at("a")));
  await tell("rm recursive", () => promises.rm(at("a"), { recursive: true }));
  await tell("mkdtemp", async () => path.basename(await promises.mkdtemp(at("temp-"))).length);

  await tell("descriptors", async () => {
    const results = [];
    const file = fs.openSync(at("fd"), "w+");
    results.push(fs.writeSync(file, "hello"), fs.writeSync(file, Buffer.from("abcdef"), 2, 3), fs.writeSync(file, "é", 0, "latin1"));
    results.push(fs.writevSync(file, [Buffer.from("xy"), new Uint8Array([33])]), fs.readSync(file, Buffer.alloc(4)));
    results.push(await called((then) => fs.write(file, "héé", then)));
    results.push(await called((then) => fs.write(file, Buffer.from("0123"), 1, 2, 0, then)));
    results.push(await called((then) => fs.writev(file, [Buffer.from("v"), Buffer.from("w")], 3, then)));
    results.push(await called((then) => fs.read(file, Buffer.alloc(3), 1, 2, 0, then)));
    results.push(await called((then) => fs.read(file, { buffer: Buffer.alloc(3), position: 1 }, then)));
    results.push(await called((then) => fs.read(file, Buffer.alloc(2), { position: 2 }, then)));
    results.push(await called((then) => fs.readv(file, [Buffer.alloc(2), Buffer.alloc(2)], 0, then)));
    results.push((await called((then) => fs.read(file, then)))[1]);
    results.push(await promisify(fs.read)(file, Buffer.alloc(2), 0, 2, 4), await promisify(fs.write)(file, "z", 1));
    results.push(await promisify(fs.fsync)(file), await promisify(fs.fstat)(file), await called((then) => fs.ftruncate(file, 3, then)));
    results.push(fs.readFileSync(at("fd"), "latin1"), await called((then) => fs.close(file, then)));
    results.push(await outcome(() => fs.writeSync(file, "x")), await outcome(() => fs.fsyncSync(file)));
    results.push(await called((then) => fs.fsync(file, then)), await called((then) => fs.close(file, then)));
    return results;
  });
  await tell("close without callback", () => fs.close(fs.openSync(at("fd"), "r")));
  await tell("append at a position", () => {
    const file = fs.openSync(at("fd"), fs.constants.O_APPEND | fs.constants.O_RDWR);
    const results = [fs.writeSync(file, "end"), fs.writeSync(file, Buffer.from("more"), 0, 4, 0), fs.readFileSync(file, "utf8")];
    fs.closeSync(file);
    return [...results, fs.readFileSync(at("fd"), "utf8")];
  });
  await tell("write to a read-only file", () => {
    const file = fs.openSync(at("fd"));
    try {
      return fs.writeSync(file, "x");
    } finally {
      fs.closeSync(file);
    }
  });

  await tell("handle", async () => {
    const handle = await promises.open(at("handle"), "a+");
    const results = [typeof handle.fd, await handle.appendFile("one\ntwo\r\nthree\u2028four\rfive"), await handle.stat()];
    results.push(await handle.write("six"), await handle.write(Buffer.from("seven"), 1, 2), await handle.write(Buffer.from("eight"), { length: 1 }));
    results.push(await handle.writev([Buffer.from("n"), Buffer.from("ine")]), await handle.sync(), await handle.datasync());
    results.push(await handle.read(Buffer.alloc(4), 1, 2, 0), await handle.read({ buffer: Buffer.alloc(4), position: 4, offset: 1 }));
    results.push(await handle.read(Buffer.alloc(3), { position: 1 }), await handle.readv([Buffer.alloc(2)], 0));
    results.push((await handle.read()).bytesRead, (await handle.read()).bytesRead, await promises.appendFile(handle, "ten"), await promises.readFile(handle, "utf8"));
    const lines = [];
    for await (const line of handle.readLines({ start: 0, autoClose: false })) lines.push(line);
    results.push(lines, await handle.truncate(3), await handle.chmod(0o600), await handle.utimes(1, 2));
    const pieces = [];
    for await (const piece of handle.createReadStream({ start: 1, encoding: "utf8" })) pieces.push(piece);
    results.push(pieces, handle.fd, await handle.close(), handle.fd, await handle.close());
    results.push(await outcome(() => handle.write("x")).then(({ fails }) => [fails.code, fails.message]));
    return results;
  });
  await tell("handles wait for what is under way", async () => {
    const handle = await promises.open(at("busy"), "w");
    const order = [];
    const writes = [handle.writeFile("x".repeat(100)).then(() => order.push("written")), handle.close().then(() => order.push("closed"))];
    await Promise.all(writes);
    return [order, fs.readFileSync(at("busy")).length];
  });
  await tell("a stream of a handle", async () => {
    const handle = await promises.open(at("stream"), "w");
    const closed = once(handle, "close");
    const stream = handle.createWriteStream({ encoding: "utf8" });
    stream.end("last");
    await finished(stream);
    await closed;
    return [handle.fd, stream.bytesWritten, fs.readFileSync(at("stream"), "utf8")];
  });

  for (const [name, begin] of [
    ["write", () => fs.createWriteStream(at("streamed"), { flags: "w", highWaterMark: 4 })],
    ["new", () => new fs.WriteStream(at("streamed"), { flags: "a" })],
    ["flushed", () => fs.createWriteStream(at("streamed"), { flags: "a", flush: true })],
    ["refused", () => fs.createWriteStream(at("none/x"))],
    ["fd", () => fs.createWriteStream("", { fd: fs.openSync(at("streamed"), "r+"), start: 2 })],
  ]) {
    await tell(`stream ${name}`, async () => {
      const stream = begin();
      const events = [stream instanceof fs.WriteStream];
      for (const each of ["open", "ready", "drain", "finish", "error", "close"]) stream.on(each, (told) => events.push(each, each === "error" ? plain(told) : null));
      events.push(stream.write("first"), stream.write("second"));
      stream.end("third", () => events.push("ended"));
      await finished(stream).catch(() => {});
      return [events, stream.bytesWritten, fs.existsSync(at("streamed")) && fs.readFileSync(at("streamed"), "utf8")];
    });
  }
  await tell("read streams", async () => {
    const events = [];
    const stream = fs.createReadStream(at("streamed"), { start: 1, end: 9, highWaterMark: 4 });
    for (const each of ["open", "ready", "data", "end", "close"]) stream.on(each, (told) => events.push(each, each === "data" ? plain(told) : null));
    await finished(stream);
    return [events, stream.bytesRead, await outcome(() => finished(fs.createReadStream(at("none")).resume()))];
  });
  await tell("compression", async () => {
    await pipeline(["text".repeat(1000)], zlib.createGzip(), fs.createWriteStream(at("packed")));
    const bytes = await promises.readFile(at("packed"));
    const text = await promisify(zlib.gunzip)(bytes);
    return [text.length, await called((then) => zlib.inflate(Buffer.from("x"), then)), await outcome(() => promisify(zlib.gunzip)("x"))];
  });
  await tell("chance", async () => [
    (await promisify(crypto.randomBytes)(5)).length,
    crypto.randomBytes(3).length,
    (await called((then) => crypto.randomInt(4, 5, then)))[1],
    crypto.randomInt(1),
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()),
    crypto.getRandomValues(new Uint32Array(2)).length,
    crypto.randomFillSync(Buffer.alloc(4), 1, 2)[0],
    (await promisify(crypto.scrypt)("a", "b", 4)).length,
  ]);
}

async function ofTime({ clearInterval, clearTimeout, setImmediate, setInterval, setTimeout, timeout, timers }, told) {
  const tell = async (name, work) => told(name, await outcome(work));
  const order = [];
  await tell("order", async () => {
    setTimeout((...args) => order.push(args), 90, 1, 2);
    setTimeout(() => order.push("ten"), 10).unref();
    const never = [setTimeout(() => order.push("never"), 1), Number(setTimeout(() => order.push("never"), 1)), setTimeout(() => order.push("never"), 1)];
    clearTimeout(never[0]), clearTimeout(never[1]), clearInterval(never[2]), clearTimeout(undefined), clearTimeout(null);
    setImmediate((text) => order.push(text), "immediate");
    process.nextTick(() => order.push("tick"));
    queueMicrotask(() => order.push("microtask"));
    const again = setTimeout(() => order.push("again"), 20);
    await timers.setTimeout(5);
    again.refresh();
    await timers.setTimeout(120);
    return order;
  });
  await tell("intervals", async () => {
    let count = 0;
    const id = +setInterval(() => ++count === 3 && clearInterval(id), 2);
    await timers.setTimeout(40);
    return count;
  });
  await tell("values", async () => [await timers.setTimeout(1, "a"), await timers.setImmediate("b"), await promisify(setTimeout)(1, "c"), await promisify(setImmediate)("d")]);
  await tell("iterated", async () => {
    const values = [];
    for await (const each of timers.setInterval(1, "e")) if (values.push(each) === 3) break;
    return values;
  });
  await tell("scheduler", async () => [await timers.scheduler.wait(1), await timers.scheduler.yield()]);
  await tell("aborted", () => timers.setTimeout(1, 0, { signal: AbortSignal.abort() }));
  await tell("aborted meanwhile", async () => {
    const control = new AbortController();
    setTimeout(() => control.abort(new Error("why")), 1);
    await timers.setTimeout(1000, 0, { signal: control.signal }).catch((error) => Promise.reject(Object.assign(error, { syscall: error.cause.message })));
  });
  await tell("late", async () => {
    const signal = timeout.call(AbortSignal, 1);
    await timers.setTimeout(20);
    return [signal.aborted, signal.reason.name, signal.reason.code, signal.reason.message];
  });
  await tell("no function", () => setTimeout("x"));
  await tell("dates", () => {
    class Own extends Date {}
    const since = process.hrtime();
    const [seconds, nanoseconds] = process.hrtime(since);
    return [
      new Date() instanceof Date, structuredClone(new Date()) instanceof Date, new Own() instanceof Own, new Own(5).getTime(), Date.name, Date.length,
      new Date(2020, 1, 2).getMonth(), new Date(7).toISOString(), typeof Date(), Date() === String(new Date()), new Date().constructor === Date,
      Math.abs(new Date() - Date.now()) < 1000, Number.isInteger(Date.now()), seconds, nanoseconds < 1e9, typeof process.hrtime.bigint(),
      Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 1000, performance.now() > 0,
    ];
  });
}

async function all(modules, folder) {
  realFs.mkdirSync(folder);
  const list = [];
  const told = (name, result) => log(list, name)(JSON.parse(JSON.stringify(result).replaceAll(folder, "FOLDER")));
  await ofFiles(modules, folder, told);
  await ofTime(modules, told);
  return list;
}

const first = await all(real, path.join(FOLDER, "real"));

const { makeClock } = await import(new URL("clock.mjs", NODE));
const { makeFiles } = await import(new URL("files.mjs", NODE));
const { compression } = await import(new URL("threads.mjs", NODE));
const queue = []; // timers, as Python has them
let now = 1e12;
const clock = makeClock(({ id, milliseconds }) => queue.push({ id, at: now + milliseconds }), () => null);
clock.reset(1, now);
const loop = real.setInterval(() => {
  queue.sort((one, other) => one.at - other.at);
  const next = queue.shift();
  if (!next) return;
  now = Math.max(now, next.at);
  clock.set(now);
  clock.fire(next.id);
}, 0);
const files = makeFiles({ later: () => clock.pause(), wrote() {}, synced() {} });
files.watch(FOLDER);
const ours = {
  ...clock.modules["node:timers"], timers: clock.modules["node:timers/promises"], timeout: AbortSignal.timeout,
  fs: files.fs, promises: files.promises, zlib: compression, crypto: clock.modules["node:crypto"],
};
const second = await all(ours, path.join(FOLDER, "ours"));
real.clearInterval(loop);
console.log(JSON.stringify([first, second]));
