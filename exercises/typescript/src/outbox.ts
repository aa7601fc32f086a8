/**
 * What waits for one reader, and when the reader is too far behind.
 *
 * A server writes to a socket, and the client empties it at its own pace. Where the client is slower than its
 * rooms talk, either everybody waits for it, or the frames pile up. Here they pile up, to a limit: whoever is
 * beyond it is disconnected, and comes back with `since`. So a slow reader delays nobody and costs little.
 *
 * Only *live* frames count. A replay of old messages is as long as the client asked for, and is sent page by
 * page, each when the last one was taken (`drained`). Its frames are made late, when they can be written.
 *
 *     waiting        here, in order, because the socket has enough
 *     in the socket  given to `ws`, which has about SOCKET_BUFFER bytes that the system did not take yet
 *     sent           taken by the operating system
 */

import type { WebSocket } from "ws";

import type { Turns } from "./turns.js";

/** Bytes that the socket may hold before frames wait here; also about what is written in one turn. */
const SOCKET_BUFFER = 256 * 1024;
/** Bytes of live frames that may wait here. The contract allows 16 MiB; the system's buffers hold some, too. */
const MAX_WAITING = 8 * 1024 * 1024;

/** The connection ended before its reader had taken everything. */
export class ConnectionGone extends Error {
  constructor() {
    super("the connection is gone");
  }
}

/** A live frame, or the frames of a replay. */
interface Waiting {
  readonly frames: Iterator<Buffer>;
  /** Bytes; 0 for a replay. */
  readonly liveSize: number;
}

/** The frames on their way to one reader. */
export class Outbox {
  readonly #socket: WebSocket;
  readonly #turns: Turns;
  readonly #onTooSlow: () => void;
  #waiting: Waiting[] = [];
  #liveSize = 0;
  #writing: Promise<void> | undefined; // until nothing waits any more
  #awaitedBy = 0; // how many wait in `drained`
  #takenAt = 0; // when the reader last took something that had waited
  #isClosed = false;

  /** `onTooSlow` is called when too much waits. */
  constructor(socket: WebSocket, turns: Turns, onTooSlow: () => void) {
    this.#socket = socket;
    this.#turns = turns;
    this.#onTooSlow = onTooSlow;
  }

  /** Whether the connection is gone, or to be closed: nothing is sent any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Send a live frame. Returns at once; on a closed connection the frame is dropped. */
  post(frame: Buffer): void {
    if (this.#isClosed) return;
    if (this.#writing === undefined && this.#socket.bufferedAmount < SOCKET_BUFFER) {
      this.#socket.send(frame, AS_TEXT);
      return;
    }
    this.#wait([frame].values(), frame.length);
    if (this.#liveSize > MAX_WAITING) this.#onTooSlow();
  }

  /** Send frames with old messages, likewise. Each is asked for when it can be written. */
  postReplay(frames: Iterator<Buffer>): void {
    if (!this.#isClosed) this.#wait(frames, 0);
  }

  /** Wait until nothing waits here any more. Rejects with ConnectionGone once the connection is closed. */
  async drained(): Promise<void> {
    this.#awaitedBy += 1;
    await this.#writing;
    this.#awaitedBy -= 1;
    if (this.#isClosed) throw new ConnectionGone();
  }

  /** Milliseconds for which somebody has been waiting for a reader that takes nothing; 0 if nobody waits. */
  get stalledFor(): number {
    return this.#awaitedBy > 0 ? performance.now() - this.#takenAt : 0;
  }

  /** Drop what waits, and all that is still posted. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
    this.#liveSize = 0;
  }

  #wait(frames: Iterator<Buffer>, liveSize: number): void {
    this.#waiting.push({ frames, liveSize });
    this.#liveSize += liveSize;
    this.#writing ??= this.#writeWaiting();
  }

  async #writeWaiting(): Promise<void> {
    this.#takenAt = performance.now();
    while (this.#waiting.length > 0) {
      await this.#turns.next();
      await this.#writeSome();
      this.#takenAt = performance.now();
    }
    this.#writing = undefined;
  }

  /** Write the first frames that wait, up to about SOCKET_BUFFER, and wait until the system has taken them. */
  async #writeSome(): Promise<void> {
    let taken: Promise<void> | undefined;
    let finished = 0;
    for (let size = 0; finished < this.#waiting.length && size < SOCKET_BUFFER; ) {
      const { frames, liveSize } = this.#waiting[finished]!;
      const next = frames.next();
      if (next.done === true) {
        finished += 1;
        this.#liveSize -= liveSize;
      } else {
        taken = this.#write(next.value);
        size += next.value.length;
      }
    }
    this.#waiting.splice(0, finished); // all at once: to shift a long array again and again takes quadratic time
    await taken;
  }

  /** Fulfilled when the system has taken the frame, or the connection is gone. */
  #write(frame: Buffer): Promise<void> {
    return new Promise((resolve) => this.#socket.send(frame, AS_TEXT, () => resolve()));
  }
}

/** For `ws`, which would take a Buffer for a binary frame. */
const AS_TEXT = { binary: false };
