// Time and chance as the simulation has them: `Date`, timers, `Math.random` and what `node:crypto` makes up.

import crypto from "node:crypto";
import { AsyncLocalStorage } from "node:async_hooks";
import { promisify } from "node:util";

import { ciphers } from "./threads.mjs";

const realSetImmediate = setImmediate;
const realSetTimeout = setTimeout;

/** Milliseconds that a system call takes; with 0 it is done before anything happens outside of Node. */
const DELAYS = [0, 0, 0.2, 0.5, 1, 2, 5];

/** Who asks for the time so often in one turn waits for it to pass, so from then on it does, by so much. */
const PATIENT = 1000;
const STEP = 0.05; // milliseconds
const IMMEDIATE = 0.5; // until what `setImmediate` was given is called; a timer takes at least 1
const LONGEST = 2 ** 31 - 1; // that a timer may wait; with more it does not wait
const STARTED = 100; // before the first play

/** A generator of numbers from 0 to 1, by splitmix32 (Steele, Lea and Flood, OOPSLA 2014). */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** The clock, which `send` asks for timers. It stands still within a turn, unless somebody waits for it to go on. */
export function makeClock(send, whereIsIt) {
  let now = Date.now();
  let asked = 0; // in this turn
  let spent = { milliseconds: 0, where: null }; // by waiting busily
  let random = generator(0);
  let timers = new Map();
  let last = 0;
  let origin = null; // of `performance.now()`

  function exactly() {
    if (++asked > PATIENT) {
      now += STEP;
      spent.milliseconds += STEP;
      spent.where ??= whereIsIt();
    }
    return now;
  }

  // The real class, so that whatever makes dates makes such ones; but `new Date()` is another time.
  const RealDate = Date;
  const realNow = Date.now;
  RealDate.now = () => Math.floor(exactly());
  globalThis.Date = new Proxy(RealDate, {
    apply: () => new RealDate(RealDate.now()).toString(),
    construct: (kind, args, made) => Reflect.construct(kind, args.length === 0 ? [RealDate.now()] : args, made),
  });
  RealDate.prototype.constructor = globalThis.Date;

  performance.now = () => exactly() - origin;
  Object.defineProperty(performance, "timeOrigin", { get: () => origin });
  process.uptime = () => performance.now() / 1000;
  const hrtime = (since = [0, 0]) => {
    const nanoseconds = Math.floor(performance.now() * 1e6) - since[0] * 1e9 - since[1];
    return [Math.floor(nanoseconds / 1e9), nanoseconds - 1e9 * Math.floor(nanoseconds / 1e9)];
  };
  process.hrtime = Object.assign(hrtime, { bigint: () => BigInt(Math.floor(performance.now() * 1e6)) });

  const named = new Map(); // timers that were made numbers, by these

  class Timer {
    #callback;
    #milliseconds;
    #isAgain;
    #name;
    constructor(callback, milliseconds, args, isAgain) {
      if (typeof callback !== "function") realSetTimeout(callback); // which throws
      const inItsContext = AsyncLocalStorage.snapshot();
      this.#callback = () => inItsContext(callback, ...args);
      this.#milliseconds = milliseconds;
      this.#isAgain = isAgain;
      this.start();
    }
    start(milliseconds = this.#milliseconds) {
      this.id = ++last;
      timers.set(this.id, this);
      send({ do: "timer", id: this.id, milliseconds });
    }
    fire() {
      if (this.#isAgain) this.start();
      this.#callback();
    }
    close() {
      timers.delete(this.id);
      return this;
    }
    refresh() {
      this.close();
      this.start();
      return this;
    }
    ref() {
      return this;
    }
    unref() {
      return this;
    }
    hasRef() {
      return true;
    }
    [Symbol.toPrimitive]() {
      this.#name ??= this.id;
      named.set(this.#name, this);
      return this.#name;
    }
    [Symbol.dispose ?? Symbol("dispose")]() {
      this.close();
    }
  }

  const clear = (timer) => {
    const found = typeof timer === "object" ? timer : named.get(Number(timer));
    found?.close?.();
  };
  const wait = (milliseconds) => (milliseconds >= 1 && milliseconds <= LONGEST ? Math.trunc(milliseconds) : 1);
  const globals = {
    setTimeout: (callback, milliseconds, ...args) => new Timer(callback, wait(Number(milliseconds)), args, false),
    setInterval: (callback, milliseconds, ...args) => new Timer(callback, wait(Number(milliseconds)), args, true),
    setImmediate: (callback, ...args) => new Timer(callback, IMMEDIATE, args, false),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  };
  Object.assign(globalThis, globals);

  /** A promise for the end of a timer that `begin` starts, which a signal may end before. */
  const until = (begin, value, { signal } = {}) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return void reject(aborted(signal));
      const stop = () => {
        timer.close();
        reject(aborted(signal));
      };
      const timer = begin(() => {
        signal?.removeEventListener("abort", stop);
        resolve(value);
      });
      signal?.addEventListener("abort", stop, { once: true });
    });
  const sleep = (milliseconds, value, options) => until((then) => globals.setTimeout(then, milliseconds), value, options);
  const soon = (value, options) => until((then) => globals.setImmediate(then), value, options);
  const promises = {
    setTimeout: sleep,
    setImmediate: soon,
    async *setInterval(milliseconds, value, options) {
      for (;;) yield await sleep(milliseconds, value, options);
    },
    scheduler: { wait: (milliseconds, options) => sleep(milliseconds, undefined, options), yield: () => soon() },
  };
  Object.defineProperty(globals.setTimeout, promisify.custom, { value: sleep });
  Object.defineProperty(globals.setImmediate, promisify.custom, { value: soon });
  AbortSignal.timeout = (milliseconds) => {
    const control = new AbortController();
    const late = () => control.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    globals.setTimeout(late, milliseconds);
    return control.signal;
  };

  const chance = makeChance(() => random());

  return {
    realNow,
    modules: {
      "node:timers": { ...globals, promises },
      "node:timers/promises": promises,
      "node:crypto": { ...crypto, ...ciphers, ...chance },
    },
    set(milliseconds) {
      now = Math.max(now, milliseconds);
      asked = 0;
    },
    /** For how long this turn has waited busily, and where. */
    spent() {
      const { milliseconds, where } = spent;
      if (milliseconds > 0) spent = { milliseconds: 0, where: null };
      return { milliseconds, where };
    },
    reset(seed, milliseconds) {
      now = milliseconds;
      origin ??= milliseconds - STARTED;
      timers = new Map();
      named.clear();
      random = generator(seed);
    },
    fire(id) {
      const timer = timers.get(id);
      timers.delete(id);
      timer?.fire();
    },
    /** Wait as long as a system call takes. Whoever does not wait for it goes on before it has ended. */
    pause() {
      const milliseconds = DELAYS[Math.floor(random() * DELAYS.length)];
      return new Promise((resolve) => {
        if (milliseconds === 0) realSetImmediate(resolve);
        else new Timer(resolve, milliseconds, [], false);
      });
    },
  };
}

/** What makes up something, as `node:crypto` has it; also that of the web. */
function makeChance(random) {
  const fill = (view, from = 0, size = view.byteLength - from) => {
    const bytes = new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength);
    for (let at = from; at < from + size; at++) bytes[at] = Math.floor(random() * 256);
    return view;
  };
  const bytes = (size) => fill(Buffer.alloc(size));
  const uuid = () => {
    const made = bytes(16);
    made[6] = (made[6] & 0x0f) | 0x40;
    made[8] = (made[8] & 0x3f) | 0x80;
    const text = made.toString("hex");
    return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
  };
  const between = (from, to) => (to === undefined ? Math.floor(random() * from) : from + Math.floor(random() * (to - from)));
  /** With a callback as its last argument, it is called with the result. */
  const orLater = (make) => (...args) => {
    if (typeof args.at(-1) !== "function") return make(...args);
    const callback = args.pop();
    const made = make(...args);
    realSetImmediate(() => callback(null, made));
  };
  Math.random = random;
  Object.defineProperty(globalThis.crypto, "randomUUID", { value: uuid });
  Object.defineProperty(globalThis.crypto, "getRandomValues", { value: (view) => fill(view) });
  return {
    randomUUID: uuid,
    randomBytes: orLater(bytes),
    pseudoRandomBytes: orLater(bytes),
    randomInt: orLater(between),
    randomFillSync: fill,
    randomFill: orLater(fill),
    getRandomValues: (view) => fill(view),
  };
}

function aborted(signal) {
  const error = new Error("The operation was aborted", { cause: signal.reason });
  return Object.assign(error, { name: "AbortError", code: "ABORT_ERR" });
}
