/** What is said of the failures of components, in the server's log (stderr). */

import { StoreError } from "./types.js";

/** A failure that the store explains is one line. Any other may be a mistake in code: its stack tells where. */
export function logFailure(what: string, error: unknown): void {
  if (error instanceof StoreError) {
    console.error(`${what}: ${error.message}`);
  } else {
    console.error(`${what}:`);
    console.error(error);
  }
}

/** Do something where no client waits for an answer: if it fails, that is logged, and the server goes on. */
export function attempt(what: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    logFailure(what, error);
  }
}
