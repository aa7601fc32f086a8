/**
 * What one client has sent, on its way to be obeyed.
 *
 * Frames are obeyed one after the other, each when the one before it was answered; so the answers keep the order
 * of the questions. If a client sends faster than that, nothing more is read from its socket until we have
 * caught up; then TCP tells the client's system to stop sending. This is *back-pressure*.
 */

import type { RawData, WebSocket } from "ws";

import type { Turns } from "./turns.js";

/** What may wait to be answered, in characters, before we stop reading. */
const MAX_WAITING = 128 * 1024;
/** What a frame counts for beside its own length: otherwise very many tiny ones could wait. */
const FRAME_COST = 1024;
/** The length of a frame that takes so much time to parse that it waits for its turn. */
const LONG = 16 * 1024;

/** The frames from one client. */
export class Inbox {
  readonly #socket: WebSocket;
  readonly #turns: Turns;
  readonly #obey: (text: string | undefined) => Promise<void>;
  #work: Promise<void> = Promise.resolve(); // until all that was received is answered
  #waiting = 0;
  #isClosed = false;

  /** `obey` is given the text of each frame, undefined for a binary one. It must not reject. */
  constructor(socket: WebSocket, turns: Turns, obey: (text: string | undefined) => Promise<void>) {
    this.#socket = socket;
    this.#turns = turns;
    this.#obey = obey;
    socket.on("message", (data, isBinary) => this.#receive(data, isBinary));
  }

  /** Whether we have chosen not to read: the client may be sending, and its silence is ours. */
  get isHeld(): boolean {
    return this.#socket.isPaused;
  }

  /** Wait until all that was received is answered. */
  done(): Promise<void> {
    return this.#work;
  }

  /** Drop what waits and all that still comes; but read it, to find the client's close frame. */
  close(): void {
    this.#isClosed = true;
    this.#socket.resume();
  }

  #receive(data: RawData, isBinary: boolean): void {
    const text = data instanceof Buffer && !isBinary ? data.toString() : undefined;
    const cost = FRAME_COST + (text?.length ?? 0);
    this.#waiting += cost;
    if (this.#waiting > MAX_WAITING && !this.#isClosed) this.#socket.pause();
    this.#work = this.#obeyAfter(this.#work, text, cost);
  }

  async #obeyAfter(before: Promise<void>, text: string | undefined, cost: number): Promise<void> {
    await before;
    if (text !== undefined && text.length > LONG) await this.#turns.next();
    if (!this.#isClosed) await this.#obey(text);
    this.#waiting -= cost;
    if (this.#socket.isPaused && this.#waiting <= MAX_WAITING) this.#socket.resume();
  }
}
