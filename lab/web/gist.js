/* What one should see of a frame at a glance: one line, without what is the same in all of them. */

import { cut, legible } from "./dom.js";
import { SYSTEM } from "./frames.js";
import { say } from "./lessonwords.js";

const LENGTH = 120; // characters

/**
 * direction   "out" or "in"
 * type        of the frame; null if it has none
 * data        what is in it: as it was sent, or as frames.js has read it
 * raw         the frame itself, for those that cannot be read
 */
export function gist(direction, type, data, raw) {
  const tell = (direction === "out" ? SENT : RECEIVED).get(type);
  let words = null;
  try {
    words = data && tell ? tell(data) : null;
  } catch {
    // A frame that was sent on purpose, and lacks what its type needs.
  }
  return legible(cut(words ?? raw, LENGTH));
}

const quoted = (content) => `“${cut(content, LENGTH)}”`;
const since = (frame) => (frame.since === undefined ? say("gistNoSince") : `since ${frame.since}`);

const SENT = new Map(
  Object.entries({
    join: (frame) => since(frame),
    leave: () => "",
    heartbeat: () => "",
    message: ({ data }) => quoted(data.content),
  }),
);

const RECEIVED = new Map(
  Object.entries({
    connected: ({ user, offlineTimeout }) => say("gistConnected", { user, timeout: offlineTimeout }),
    heartbeat: () => "",
    message: ({ user, content, sequence }) =>
      user === SYSTEM ? cut(content, LENGTH) : `#${sequence} ${user} ${quoted(content)}`,
    history: ({ messages, last }) => {
      const numbers = messages.map(({ sequence }) => sequence);
      if (!numbers.length) return say("gistNothing", { last: last ?? "?" });
      return `#${numbers[0]} – #${numbers.at(-1)} (${numbers.length})`;
    },
    presence: ({ users, full }) => {
      const each = users.slice(0, 10).map(({ user, status }) => `${user} ${say(status)}`);
      return (full ? say("gistEverybody") : "") + (each.join(", ") || say("gistNobody"));
    },
    error: ({ code, message }) => `${code ?? ""} ${message ?? ""}`,
  }),
);
