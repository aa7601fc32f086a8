// Time and chance as the simulation has them: `Date`, timers, `Math.random` and what `node:crypto` makes up.

import crypto from "node:crypto";
import { AsyncLocalStorage } from "node:async_hooks";

/** Milliseconds that a system call takes; with 0 it is done before anything else happens. */
const DELAYS = [0, 0, 0.2, 0.5, 1, 2, 5];

/** Who asks for the time so often in one turn waits for it to pass, so from then on it does, by so much. */
const PATIENT = 1000;
const STEP = 0.05; // milliseconds

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
  let isPausing = false;
  let last = 0;
  const RealDate = Date;

  class SimulatedDate extends RealDate {
    constructor(...args) {
      super(...(args.length === 0 ? [SimulatedDate.now()] : args));
    }
    static now() {
      if (++asked > PATIENT) {
        now += STEP;
        spent.milliseconds += STEP;
        spent.where ??= whereIsIt();
      }
      return Math.floor(now);
    }
    static real() {
      return RealDate.now();
    }
  }
  globalThis.Date = SimulatedDate;
  const exactly = () => Math.max(SimulatedDate.now(), now);
  performance.now = () => exactly() - performance.timeOrigin;
  process.hrtime = Object.assign(() => [Math.floor(exactly() / 1000), Math.floor((now % 1000) * 1e6)], {
    bigint: () => BigInt(Math.floor(exactly() * 1e6)),
  });
  Math.random = () => random();
  Object.defineProperty(globalThis.crypto, "randomUUID", { value: () => uuid(random) });

  class Timer {
    #callback;
    #milliseconds;
    #isAgain;
    #where = isPausing ? null : whereIsIt();
    constructor(callback, milliseconds, args, isAgain) {
      if (typeof callback !== "function") throw new TypeError("The callback of a timer must be a function");
      const inItsContext = AsyncLocalStorage.snapshot();
      this.#callback = () => inItsContext(callback, ...args);
      this.#milliseconds = Math.max(1, Number(milliseconds) || 1);
      this.#isAgain = isAgain;
      this.start();
    }
    start(milliseconds = this.#milliseconds) {
      this.id = ++last;
      timers.set(this.id, this);
      send({ do: "timer", id: this.id, milliseconds, where: this.#where });
      this.#where = null; // told once
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
      return this.id;
    }
    [Symbol.dispose ?? Symbol("dispose")]() {
      this.close();
    }
  }

  const clear = (timer) => {
    const found = typeof timer === "object" ? timer : timers.get(Number(timer));
    found?.close?.();
  };
  const globals = {
    setTimeout: (callback, milliseconds, ...args) => new Timer(callback, milliseconds, args, false),
    setInterval: (callback, milliseconds, ...args) => new Timer(callback, milliseconds, args, true),
    setImmediate: (callback, ...args) => new Timer(callback, 0, args, false),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  };
  Object.assign(globalThis, globals);

  const sleep = (milliseconds, value) => new Promise((resolve) => globals.setTimeout(resolve, milliseconds, value));
  const promises = {
    setTimeout: sleep,
    setImmediate: (value) => sleep(0, value),
    async *setInterval(milliseconds, value) {
      for (;;) yield await sleep(milliseconds, value);
    },
    scheduler: { wait: sleep, yield: () => sleep(0) },
  };

  return {
    isHurried: false,
    modules: {
      "node:timers": { ...globals, promises },
      "node:timers/promises": promises,
      "node:crypto": { ...crypto, randomUUID: () => uuid(random), randomBytes: (size) => bytes(size, random) },
    },
    set(milliseconds) {
      now = Math.max(now, milliseconds);
      asked = 0;
    },
    /** For how long this turn has waited busily, and where. */
    spent() {
      const { milliseconds, where } = spent;
      spent = { milliseconds: 0, where: null };
      return { milliseconds, where };
    },
    reset(seed, milliseconds) {
      now = milliseconds;
      timers = new Map();
      random = generator(seed);
    },
    fire(id) {
      const timer = timers.get(id);
      timers.delete(id);
      timer?.fire();
    },
    /** Wait as long as a system call takes. */
    async pause() {
      if (this.isHurried) return;
      const milliseconds = DELAYS[Math.floor(random() * DELAYS.length)];
      if (milliseconds === 0) return;
      isPausing = true; // this timer is ours
      const pause = sleep(milliseconds);
      isPausing = false;
      await pause;
    },
  };
}

function bytes(size, random) {
  return Buffer.from(Array.from({ length: size }, () => Math.floor(random() * 256)));
}

function uuid(random) {
  const made = bytes(16, random);
  made[6] = (made[6] & 0x0f) | 0x40;
  made[8] = (made[8] & 0x3f) | 0x80;
  const text = made.toString("hex");
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join("-");
}
