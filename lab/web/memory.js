/* What the browser keeps for us. It may refuse to, or be full: the chat goes on without. */

const written = new Map(); // key -> the text that is there already

/** The value that was kept under that key; `otherwise` if there is none. */
export function recall(storage, key, otherwise) {
  try {
    return JSON.parse(window[storage].getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep a value, in `localStorage` (for the next visit) or in `sessionStorage` (for this tab). */
export function keep(storage, key, value) {
  const content = JSON.stringify(value);
  if (written.get(key) === content) return;
  written.set(key, content);
  try {
    window[storage].setItem(key, content);
  } catch {
    // Then it is as if this were the first visit.
  }
}
