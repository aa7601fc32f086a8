/**
 * What waits for one reader, and when the reader is too far behind.
 *
 * A server writes to a socket, and the client empties it at its own pace. Where the client is slower than its
 * rooms talk, either everybody waits for it, or the frames pile up. Here they pile up, to a limit: whoever is
 * beyond it is disconnected, and comes back with `since`. So a slow reader delays nobody and costs little.
 *
 * Only *live* frames count. A replay of old messages is as long as the client asked for, and is sent page by
 * page, each when the last one was taken (`drained`). So its pages are encoded late, when it is their turn.
 *
 *     waiting        here, in order, because the socket has enough
 *     in the socket  given to `ws`, which has up to about SOCKET_BUFFER bytes that the system did not take yet
 *     sent           taken by the operating system
 */

import type { WebSocket } from "ws";

import { encode, type AnyServerFrame } from "./protocol.js";

/** Bytes that the socket may hold before frames wait here. */
const SOCKET_BUFFER = 256 * 1024;
/** Bytes of live frames that may wait here. The contract allows 16 MiB; the system's buffers hold some, too. */
const MAX_WAITING = 8 * 1024 * 1024;

/** The connection ended before its reader had taken everything. */
export class ConnectionGone extends Error {
  constructor() {
    super("the connection is gone");
  }
}

interface Waiting {
  readonly encode: () => Buffer;
  /** Bytes; 0 for old messages. */
  readonly liveSize: number;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/** The frames on their way to one reader. */
export class Outbox {
  readonly #socket: WebSocket;
  readonly #onTooSlow: () => void;
  #waiting: Waiting[] = [];
  #liveSize = 0;
  #waiters: Waiter[] = [];
  #takenAt = 0;
  #isClosed = false;

  /** `onTooSlow` is called when too much waits. */
  constructor(socket: WebSocket, onTooSlow: () => void) {
    this.#socket = socket;
    this.#onTooSlow = onTooSlow;
  }

  /** Whether the connection is gone, or to be closed: nothing is sent any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Send a live frame. Returns at once; on a closed connection the frame is dropped. */
  post(bytes: Buffer): void {
    if (this.#hasRoom) {
      this.#write(bytes);
    } else {
      this.#wait({ encode: () => bytes, liveSize: bytes.length });
      if (this.#liveSize > MAX_WAITING) this.#onTooSlow();
    }
  }

  /** Send a frame with old messages, likewise. */
  postReplay(frame: AnyServerFrame): void {
    if (this.#hasRoom) this.#write(encode(frame));
    else this.#wait({ encode: () => encode(frame), liveSize: 0 });
  }

  /** Wait until nothing waits here any more. Rejects with ConnectionGone once the connection is closed. */
  async drained(): Promise<void> {
    if (this.#isClosed) throw new ConnectionGone();
    if (this.#waiting.length === 0) return;
    await new Promise<void>((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Milliseconds for which somebody has been waiting for a reader that takes nothing; 0 if nobody waits. */
  get stalledFor(): number {
    return this.#waiters.length > 0 ? performance.now() - this.#takenAt : 0;
  }

  /** Drop what waits, and all that is still posted. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
    for (const { reject } of this.#waiters) reject(new ConnectionGone());
    this.#waiters = [];
  }

  get #hasRoom(): boolean {
    return this.#waiting.length === 0 && this.#socket.bufferedAmount < SOCKET_BUFFER;
  }

  #wait(frame: Waiting): void {
    if (this.#isClosed) return;
    if (this.#waiting.length === 0) this.#takenAt = performance.now();
    this.#waiting.push(frame);
    this.#liveSize += frame.liveSize;
  }

  #write(bytes: Buffer): void {
    if (!this.#isClosed) this.#socket.send(bytes, { binary: false }, this.#onTaken);
  }

  /** The system has taken what was written. */
  readonly #onTaken = (): void => {
    this.#takenAt = performance.now();
    while (this.#waiting.length > 0 && this.#socket.bufferedAmount < SOCKET_BUFFER) this.#writeSome();
    if (this.#waiting.length > 0) return;
    for (const { resolve } of this.#waiters) resolve();
    this.#waiters = [];
  };

  /** Write the first of the frames that wait: one at least, and not much more than SOCKET_BUFFER. */
  #writeSome(): void {
    let count = 0;
    for (let size = 0; count < this.#waiting.length && size < SOCKET_BUFFER; count += 1) {
      const frame = this.#waiting[count]!;
      const bytes = frame.encode();
      size += bytes.length;
      this.#liveSize -= frame.liveSize;
      this.#write(bytes);
    }
    this.#waiting.splice(0, count); // all at once: to shift a long array again and again takes quadratic time
  }
}
