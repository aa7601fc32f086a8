/** What takes long is done in turns, so that many clients who ask for much at once hold up nobody else. */

import { setImmediate as nextTurnOfEventLoop } from "node:timers/promises";

/**
 * Where those wait who have a long piece of work to do, such as to encode a page of history. In each turn of
 * the event loop one of them goes on, and between any two the loop does everything else.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Wait for a turn that nobody else has who waits here. */
  next(): Promise<void> {
    this.#last = this.#last.then(() => nextTurnOfEventLoop());
    return this.#last;
  }
}
