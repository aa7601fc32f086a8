// `node:fs` as the component has it: the real files, but each step is told, and takes simulated time.
//
// SIGKILL may strike between any two steps. So whatever Node does in several (`writeFile` opens and empties the
// file, writes, and closes it) is done in the same steps here, and Python may look at the folder after each.
// Functions that wait let others run between two steps, as Node's own do.

import real from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const CHUNK = 512 * 1024; // bytes of a file that Node writes at once
const { constants } = real;
const WRITES = constants.O_WRONLY | constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_TRUNC;
const SYNC = constants.O_SYNC | (constants.O_DSYNC ?? 0);
/** What changes files in one step, and needs no more than to be told. */
const CHANGES = ["copyFile", "cp", "ftruncate", "link", "mkdir", "mkdtemp", "rename", "rm", "rmdir", "symlink", "truncate", "unlink"];
/** What only reads, or changes nothing that is looked at. */
const READS = [
  ...["access", "chmod", "chown", "close", "fchmod", "fchown", "fstat", "futimes", "lchown", "lstat", "lutimes"],
  ...["opendir", "read", "readFile", "readdir", "readlink", "readv", "realpath", "stat", "statfs", "utimes"],
];
const OF_A_HANDLE = ["truncate", "stat", "chmod", "chown", "utimes", "readv", "read"];

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
    const isAppended = real.fstatSync(descriptor).size === before + size;
    tell(file, isAppended ? before : 0, isAppended && size > 0 ? size : null);
    return size;
  }

  function sync(descriptor) {
    real.fsyncSync(descriptor);
    const { ino, size } = real.fstatSync(descriptor);
    synced(ino, size);
  }

  function close(descriptor) {
    names.delete(descriptor);
    real.closeSync(descriptor);
  }

  // --- functions of several steps, as generators: between two of them others may run ----------------

  function* writingFile(file, data, options, flag) {
    const { encoding, mode, flag: asked, flush } = optionsOf(options);
    const isOpen = typeof file === "number";
    const descriptor = isOpen ? file : open(file, asked ?? flag, mode);
    yield;
    try {
      const bytes = typeof data === "string" ? Buffer.from(data, encoding ?? "utf8") : viewOf(data);
      for (let at = 0; at < bytes.length; ) {
        at += write(descriptor, bytes, at, Math.min(CHUNK, bytes.length - at));
        yield;
      }
      if (flush) sync(descriptor);
    } finally {
      if (!isOpen) close(descriptor);
    }
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
      const callback = args.pop();
      if (typeof callback !== "function") throw new TypeError('The "cb" argument must be of type function');
      // What the callback throws is nobody's promise: it ends a process, as it does in Node.
      const then = (...results) => process.nextTick(() => callback(...results));
      waiting(begin(...args)).then((result) => then(...answerOf(name, result, args)), (error) => then(error));
    };
    if (name in promises) promises[name] = async (...args) => waiting(begin(...args));
  }
  fs.realpathSync.native = real.realpathSync.native;

  // --- handles and streams ----------------------------------------------------------------------------

  class FileHandle {
    constructor(descriptor) {
      this.fd = descriptor;
    }
    async write(data, ...rest) {
      const bytesWritten = await waiting(once(() => write(this.fd, data, ...rest)));
      return { bytesWritten, buffer: data };
    }
    async writev(buffers, position) {
      return { bytesWritten: await waiting(writevSteps(this.fd, buffers, position)), buffers };
    }
    writeFile(data, options) {
      return waiting(writeFile(this.fd, data, options));
    }
    appendFile(data, options) {
      return waiting(writeFile(this.fd, data, options));
    }
    readFile(options) {
      return waiting(once(() => real.readFileSync(this.fd, options)));
    }
    async read(...args) {
      const [first, ...rest] = args;
      const isBuffer = ArrayBuffer.isView(first);
      const options = isBuffer ? (typeof rest[0] === "object" ? (rest[0] ?? {}) : { offset: rest[0], length: rest[1], position: rest[2] }) : (first ?? {});
      const buffer = isBuffer ? first : (options.buffer ?? Buffer.alloc(16_384));
      const { offset = 0, length = buffer.byteLength - offset, position = null } = options;
      const bytesRead = await waiting(once(() => real.readSync(this.fd, buffer, offset ?? 0, length ?? buffer.byteLength, position ?? null)));
      return { bytesRead, buffer };
    }
    async *readLines(options) {
      yield* (await this.readFile({ encoding: "utf8", ...options })).split(/\r?\n/).filter((line, at, all) => at < all.length - 1 || line !== "");
    }
    sync() {
      return waiting(once(() => sync(this.fd)));
    }
    datasync() {
      return this.sync();
    }
    async close() {
      const descriptor = this.fd;
      if (descriptor === -1) return;
      this.fd = -1;
      await waiting(once(() => close(descriptor)));
    }
    createReadStream(options) {
      return fs.createReadStream("", { ...optionsOf(options), fd: this.fd });
    }
    createWriteStream(options) {
      return fs.createWriteStream("", { ...optionsOf(options), fd: this.fd });
    }
    [Symbol.asyncDispose ?? Symbol("asyncDispose")]() {
      return this.close();
    }
  }
  for (const name of OF_A_HANDLE) {
    if (name === "read") continue;
    const begin = steps[`f${name}`] ?? steps[name];
    FileHandle.prototype[name] ??= function (...args) {
      return waiting(begin(this.fd, ...args));
    };
  }

  promises.open = async (...args) => new FileHandle(await waiting(steps.open(...args)));
  // A handle stands for its descriptor where a path is expected.
  for (const name of ["writeFile", "appendFile", "readFile"]) {
    const begin = steps[name];
    promises[name] = async (file, ...rest) => waiting(begin(file instanceof FileHandle ? file.fd : file, ...rest));
  }
  const own = Object.fromEntries(["open", "read", "write", "writev", "close", "fsync"].map((name) => [name, (...args) => fs[name](...args)]));
  fs.createWriteStream = (file, options) => real.createWriteStream(file, { ...optionsOf(options), fs: own });
  fs.createReadStream = (file, options) => real.createReadStream(file, { ...optionsOf(options), fs: own });
  fs.promises = promises;

  return {
    fs,
    promises,
    watch(folder) {
      root = folder;
      names.clear();
    },
  };
}

function optionsOf(options) {
  return typeof options === "string" ? { encoding: options } : (options ?? {});
}

function viewOf(data) {
  return ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}

/** What a callback is given after the error. */
function answerOf(name, result, args) {
  if (name === "exists") return [result];
  if (name === "read" || name === "write" || name === "readv" || name === "writev") return [null, result, args[1]];
  return [null, result];
}
