/** How often one client may do something: a token bucket. */

import { BadFrame } from "./protocol.js";

/** Messages, joins and leaves that a connection may send in a second. The contract asks for 100 at least. */
const RATE = 500;
/** As many may come at once, after a pause. The contract asks for 200 at least. */
const BURST = 2 * RATE;

/** The bucket holds BURST tokens and gains RATE a second. Each frame takes one; without one it is refused. */
export class RateLimit {
  #tokens = BURST;
  #countedAt = performance.now();

  /** Take a token, or throw BadFrame. `id` is that of the chat message that asks. */
  take(id?: string): void {
    const now = performance.now();
    const gained = ((now - this.#countedAt) / 1000) * RATE;
    this.#tokens = Math.min(BURST, this.#tokens + gained);
    this.#countedAt = now;
    if (this.#tokens < 1) {
      throw new BadFrame("rate_limited", `more than ${RATE} frames a second; send this one again later`, id);
    }
    this.#tokens -= 1;
  }
}
