// `node:fs` as the component has it: the real files, but each step is told, and takes simulated time.
//
// SIGKILL may strike between any two steps. So whatever Node does in several (`writeFile` opens and empties the
// file, writes, and closes it) is done in the same steps here, and Python may look at the folder after each.
// Functions that wait let others run between two steps, as Node's own do.

import { EventEmitter } from "node:events";
import real from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const CHUNK = 512 * 1024; // bytes of a file that Node writes at once
const { constants } = real;
const WRITES = constants.O_WRONLY | constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_TRUNC;
const SYNC = constants.O_SYNC | (constants.O_DSYNC ?? 0);
/** What changes files in one step, and needs no more than to be told. */
const CHANGES = ["copyFile", "cp", "ftruncate", "link", "mkdir", "mkdtemp", "rename", "rm", "rmdir", "symlink", "truncate", "unlink"];
/** What only reads, or changes nothing that is looked at. */
const READS = [
  ...["access", "chmod", "chown", "close", "fchmod", "fchown", "fstat", "futimes", "lchown", "lstat", "lutimes"],
  ...["opendir", "readFile", "readdir", "readlink", "readv", "realpath", "stat", "statfs", "utimes"],
];
const READ_AT_ONCE = 16 * 1024; // bytes that `read` makes room for if it is given no buffer

/**
 * The two modules. `later` waits as long as a system call takes; `wrote(path, start, size)` is called after each
 * step, with `size` null if nothing was just appended; `synced(inode, size)` when bytes are safe.
 */
export function makeFiles({ later, wrote, synced }) {
  let root = "";
  const names = new Map(); // the paths of open files

  const absolute = (file) => path.resolve(file instanceof URL ? fileURLToPath(file) : file.toString());
  const isWatched = (file) => root !== "" && (file === root || file.startsWith(root + path.sep));
  const tell = (file, start = 0, size = null) => {
    if (isWatched(file)) wrote(file, start, size);
  };

  // --- the steps ----------------------------------------------------------------------------------

  function open(file, flags = "r", mode) {
    const isWriting = typeof flags === "string" ? /[wax+]/.test(flags) : (flags & WRITES) !== 0;
    const descriptor = real.openSync(file, flags, mode);
    names.set(descriptor, absolute(file));
    if (isWriting && (typeof flags === "string" ? /[wx]/.test(flags) : (flags & constants.O_TRUNC) !== 0)) {
      tell(absolute(file), 0, 0);
    }
    if (typeof flags === "string" ? flags.includes("s") : (flags & SYNC) !== 0) {
      synced(real.fstatSync(descriptor).ino, Number.MAX_SAFE_INTEGER);
    }
    return descriptor;
  }

  function write(descriptor, data, ...rest) {
    const file = names.get(descriptor);
    if (file === undefined || !isWatched(file)) return real.writeSync(descriptor, data, ...rest);
    const before = real.fstatSync(descriptor).size;
    const size = real.writeSync(descriptor, data, ...rest);
    const after = real.fstatSync(descriptor);
    const isThere = real.statSync(file, { throwIfNoEntry: false })?.ino === after.ino; // it may be removed
    const isAppended = isThere && after.size === before + size;
    tell(file, isAppended ? before : 0, isAppended && size > 0 ? size : null);
    return size;
  }

  /** No power fails in a play, so to wait for the disk would be a waste of time. */
  function sync(descriptor) {
    if (!names.has(descriptor)) return real.fsyncSync(descriptor); // which throws, unless others have opened it
    const { ino, size } = real.fstatSync(descriptor);
    synced(ino, size);
  }

  function close(descriptor) {
    real.closeSync(descriptor);
    names.delete(descriptor);
  }

  function read(descriptor, { buffer, offset, length, position }) {
    return real.readSync(descriptor, buffer, offset, length, position);
  }

  /** Open files stay the same ones under another name. */
  function renamed(from, to) {
    for (const [descriptor, file] of names) {
      if (file === from || file.startsWith(from + path.sep)) names.set(descriptor, to + file.slice(from.length));
    }
  }

  // --- functions of several steps, as generators: between two of them others may run ----------------

  function* writingFile(file, data, options, flag) {
    const { encoding, mode, flag: asked, flush, signal } = optionsOf(options);
    const isOpen = typeof file === "number";
    stopIfAborted(signal);
    const descriptor = isOpen ? file : open(file, asked ?? flag, mode);
    yield;
    try {
      const bytes = typeof data === "string" ? Buffer.from(data, encoding ?? "utf8") : viewOf(data);
      for (let at = 0; at < bytes.length; ) {
        stopIfAborted(signal);
        at += write(descriptor, bytes, at, Math.min(CHUNK, bytes.length - at));
        yield;
      }
      if (flush) sync(descriptor);
    } finally {
      if (!isOpen) close(descriptor);
    }
  }

  function* readingFile(file, options) {
    stopIfAborted(optionsOf(options).signal);
    return real.readFileSync(file, options);
  }

  const writeFile = (file, data, options) => writingFile(file, data, options, "w");
  const appendFile = (file, data, options) => writingFile(file, data, options, "a");

  function* once(action) {
    return action();
  }

  function* writevSteps(descriptor, buffers, position) {
    let total = 0;
    for (const each of buffers) total += write(descriptor, each, 0, each.byteLength, position == null ? null : position + total);
    return total;
  }

  function change(name) {
    const synchronous = real[`${name}Sync`];
    return (...args) => {
      const result = synchronous(...args);
      const named = typeof args[0] === "number" ? names.get(args[0]) : absolute(args.length > 1 && name !== "truncate" && typeof args[1] === "string" ? args[1] : args[0]);
      if (name === "rename") renamed(absolute(args[0]), named);
      if (named !== undefined && name !== "mkdir") tell(named);
      return result;
    };
  }

  const steps = {
    open: (...args) => once(() => open(...args)),
    write: (...args) => once(() => write(...args)),
    close: (descriptor) => once(() => close(descriptor)),
    fsync: (descriptor) => once(() => sync(descriptor)),
    fdatasync: (descriptor) => once(() => sync(descriptor)),
    read: (descriptor, ...args) => once(() => read(descriptor, readArguments(args))),
    readFile: readingFile,
    writev: writevSteps,
    writeFile,
    appendFile,
  };
  for (const name of CHANGES) {
    const changing = change(name);
    steps[name] = (...args) => once(() => changing(...args));
  }
  for (const name of READS) steps[name] ??= (...args) => once(() => real[`${name}Sync`](...args));
  steps.exists = (file) => once(() => real.existsSync(file));

  // --- the three styles in which Node offers them ---------------------------------------------------

  function atOnce(running) {
    for (;;) {
      const { done, value } = running.next();
      if (done) return value;
    }
  }

  async function waiting(running) {
    for (;;) {
      await later();
      const { done, value } = running.next();
      if (done) return value;
    }
  }

  const fs = { ...real };
  const promises = { ...real.promises };
  for (const [name, begin] of Object.entries(steps)) {
    fs[`${name}Sync`] = (...args) => atOnce(begin(...args));
    fs[name] = (...args) => {
      const callback = name === "close" ? (args.splice(1)[0] ?? throwIt) : args.pop();
      if (typeof callback !== "function") throw noCallback();
      if (name === "read") args.splice(1, Infinity, readArguments(args.slice(1)));
      // What the callback throws is nobody's promise: it ends a process, as it does in Node.
      const then = (...results) => process.nextTick(() => callback(...results));
      waiting(begin(...args)).then((result) => then(...answerOf(name, result, args)), (error) => then(error));
    };
    // A handle stands for its descriptor where a path is expected.
    if (name in promises) promises[name] = async (file, ...rest) => (file instanceof FileHandle ? file[USE](begin, ...rest) : waiting(begin(file, ...rest)));
  }
  for (const [name, bytes, buffer] of [["read", "bytesRead", "buffer"], ["write", "bytesWritten", "buffer"], ["readv", "bytesRead", "buffers"], ["writev", "bytesWritten", "buffers"]]) {
    const asOne = (...args) => new Promise((resolve, reject) => {
      fs[name](...args, (error, count, thing) => (error ? reject(error) : resolve({ [bytes]: count, [buffer]: thing })));
    });
    Object.defineProperty(fs[name], promisify.custom, { value: asOne });
  }
  Object.defineProperty(fs.exists, promisify.custom, { value: (file) => waiting(steps.exists(file)) });
  fs.realpathSync.native = real.realpathSync.native;
  fs.realpath.native = fs.realpath;

  // --- handles and streams ----------------------------------------------------------------------------

  const USE = Symbol("use");

  class FileHandle extends EventEmitter {
    #descriptor;
    #users = 1; // one until it is closed, and all that is under way
    #closing = null;

    constructor(descriptor) {
      super();
      this.#descriptor = descriptor;
    }
    get fd() {
      return this.#descriptor;
    }
    async [USE](begin, ...args) {
      if (this.#descriptor === -1) throw Object.assign(new Error("file closed"), { code: "EBADF", syscall: begin.name });
      this.#users++;
      try {
        return await waiting(begin(this.#descriptor, ...args));
      } finally {
        this.#left();
      }
    }
    #left() {
      if (--this.#users > 0) return;
      const descriptor = this.#descriptor;
      this.#descriptor = -1;
      waiting(steps.close(descriptor)).then(...this.#closing);
    }
    close() {
      if (this.#descriptor === -1) return Promise.resolve();
      if (this.#closing === null) {
        let settle;
        const closed = new Promise((...both) => (settle = both));
        this.#closing = Object.assign(settle, { closed });
        this.emit("close");
        this.#left();
      }
      return this.#closing.closed;
    }
    async write(data, ...rest) {
      return { bytesWritten: await this[USE](steps.write, data, ...rest), buffer: data };
    }
    async writev(buffers, position) {
      return { bytesWritten: await this[USE](steps.writev, buffers, position), buffers };
    }
    async read(...args) {
      const given = readArguments(args);
      return { bytesRead: await this[USE](steps.read, given), buffer: given.buffer };
    }
    async readv(buffers, position) {
      return { bytesRead: await this[USE](steps.readv, buffers, position), buffers };
    }
    writeFile(data, options) {
      return isSeries(data) ? promises.writeFile(this, data, options) : this[USE](steps.writeFile, data, options);
    }
    appendFile(data, options) {
      return this.writeFile(data, options);
    }
    readFile(options) {
      return this[USE](steps.readFile, options);
    }
    sync() {
      return this[USE](steps.fsync);
    }
    datasync() {
      return this[USE](steps.fdatasync);
    }
    truncate(size = 0) {
      return this[USE](steps.ftruncate, Math.max(0, size));
    }
    stat(options) {
      return this[USE](steps.fstat, options);
    }
    chmod(mode) {
      return this[USE](steps.fchmod, mode);
    }
    chown(user, group) {
      return this[USE](steps.fchown, user, group);
    }
    utimes(accessed, modified) {
      return this[USE](steps.futimes, accessed, modified);
    }
    readLines(options) {
      return createInterface({ input: this.createReadStream(options), crlfDelay: Infinity });
    }
    readableWebStream() {
      return Readable.toWeb(this.createReadStream({ autoClose: false }));
    }
    createReadStream(options) {
      return fs.createReadStream("", { ...optionsOf(options), fd: this });
    }
    createWriteStream(options) {
      return fs.createWriteStream("", { ...optionsOf(options), fd: this });
    }
    [Symbol.asyncDispose ?? Symbol("asyncDispose")]() {
      return this.close();
    }
  }

  /** What is made piece by piece: `writeFile` takes that, too. */
  for (const [name, flag] of [["writeFile", "w"], ["appendFile", "a"]]) {
    const whole = promises[name];
    promises[name] = async (file, data, options) => {
      if (!isSeries(data)) return whole(file, data, options);
      const { encoding, flag: asked, flush, mode } = optionsOf(options);
      const handle = file instanceof FileHandle ? file : await promises.open(file, asked ?? flag, mode);
      try {
        for await (const piece of data) await handle.appendFile(piece, { encoding });
        if (flush) await handle.sync();
      } finally {
        if (handle !== file) await handle.close();
      }
    };
  }
  promises.open = async (...args) => new FileHandle(await waiting(steps.open(...args)));
  const own = Object.fromEntries(["open", "read", "write", "writev", "close", "fsync"].map((name) => [name, (...args) => fs[name](...args)]));
  /** A stream's functions; if it is given a handle, that is closed. */
  function streamed(options) {
    const { fd, ...rest } = optionsOf(options);
    if (!(fd instanceof FileHandle)) return { ...rest, ...(fd === undefined ? {} : { fd }), fs: rest.fs ?? own };
    const close = (_, then) => fd.close().then(() => then(null), then);
    return { ...rest, fd: fd.fd, fs: { ...own, close } };
  }
  fs.createWriteStream = (file, options) => real.createWriteStream(file, streamed(options));
  fs.createReadStream = (file, options) => real.createReadStream(file, streamed(options));
  for (const name of ["WriteStream", "ReadStream"]) {
    const make = (_, args) => fs[`create${name}`](...args);
    fs[name] = new Proxy(real[name], { apply: (kind, _, args) => make(kind, args), construct: make });
  }
  fs.promises = promises;

  return {
    fs,
    promises,
    /** From now on, what happens in this folder is told; whatever is still open is closed. */
    watch(folder) {
      root = folder;
      for (const descriptor of [...names.keys()]) {
        names.delete(descriptor);
        try {
          real.closeSync(descriptor);
        } catch {
          // It was closed by others.
        }
      }
    },
  };
}

function optionsOf(options) {
  return typeof options === "string" ? { encoding: options } : (options ?? {});
}

/** What `read` is given after a descriptor, in one of its forms. */
function readArguments([first, second, ...rest]) {
  const isBuffer = ArrayBuffer.isView(first);
  const inOptions = isBuffer ? (typeof second === "object" ? second : null) : first;
  const { buffer = isBuffer ? first : Buffer.alloc(READ_AT_ONCE), ...given } = inOptions ?? {
    ...(isBuffer ? { offset: second, length: rest[0], position: rest[1] } : {}),
  };
  const offset = given.offset ?? 0;
  return { buffer, offset, length: given.length ?? buffer.byteLength - offset, position: given.position ?? null };
}

function isSeries(data) {
  return typeof data === "object" && !ArrayBuffer.isView(data) && (Symbol.asyncIterator in data || Symbol.iterator in data);
}

function viewOf(data) {
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}

function stopIfAborted(signal) {
  if (!signal?.aborted) return;
  const error = new Error("The operation was aborted", { cause: signal.reason });
  throw Object.assign(error, { name: "AbortError", code: "ABORT_ERR" });
}

function throwIt(error) {
  if (error) throw error;
}

function noCallback() {
  const error = new TypeError('The "cb" argument must be of type function. Received undefined');
  return Object.assign(error, { code: "ERR_INVALID_ARG_TYPE" });
}

/** What a callback is given after the error. */
function answerOf(name, result, args) {
  if (name === "exists") return [result];
  if (name === "read") return [null, result, args[1].buffer];
  if (name === "write" || name === "readv" || name === "writev") return [null, result, args[1]];
  return result === undefined ? [null] : [null, result];
}
