/*
 * Reads what the server sends, so that all other modules get frames that are as the protocol says.
 *
 * What the protocol forgives is put right here. From a list with a flaw the good entries are taken. What cannot
 * be read is told as `flaw`: the name of a text in texts.js, and values for it.
 */

import { LIMITS } from "./limits.js";

export const SYSTEM = "system"; // says who comes and goes; these notices have no number of their own
const STATUSES = ["online", "away", "offline"];
const TIMEOUT = 60; // seconds: what a server uses that says nothing
const LATEST = 8.64e15; // milliseconds since 1970: the last moment that a Date can hold

class Flaw extends Error {}

/** What the frame says: {type, data, flaw}; `data` is null if nothing of it can be used. */
export function read(received) {
  const fault = (name, values = {}) => ({ type: null, data: null, flaw: { name, values } });
  if (typeof received !== "string") return fault("notText");
  if (received.length > LIMITS.frame) return fault("tooLong");
  let frame;
  try {
    frame = JSON.parse(received);
  } catch {
    return fault("notJson");
  }
  const type = frame?.type;
  if (typeof type !== "string") return fault("noType");
  const reader = READERS.get(type);
  if (!reader) return { type, data: null, flaw: null }; // other types are allowed, and mean nothing to us
  const flaws = [];
  try {
    const data = reader(frame.data ?? {}, flaws);
    const [field] = flaws;
    return { type, data, flaw: field ? { name: "badField", values: { type, field } } : null };
  } catch (error) {
    if (error instanceof Flaw) return fault("badField", { type, field: error.message });
    throw error;
  }
}

const heartbeat = () => ({});
const READERS = new Map(Object.entries({ connected, heartbeat, message, history, presence, error }));

/** A server may leave out who we are and how long it waits. */
function connected({ user, offlineTimeout }) {
  const isTime = offlineTimeout >= 1 && offlineTimeout <= 24 * 3600;
  return { user: isName(user) ? user : null, offlineTimeout: isTime ? offlineTimeout : TIMEOUT };
}

/** Number and time of a notice do not matter: without them it stands at the end, and was said now. */
function message(data) {
  const isNotice = data?.user === SYSTEM;
  return {
    id: isNotice ? "" : string(data, "id"),
    room: string(data, "room"),
    user: isName(data?.user) ? data.user : fail("user"),
    content: string(data, "content"),
    sequence: isWhole(data.sequence) ? data.sequence : isNotice ? null : fail("sequence"),
    timestamp: time(data.timestamp) ?? (isNotice ? Date.now() : fail("timestamp")),
  };
}

function history(data, flaws) {
  const messages = list(data, "messages", message, flaws);
  return { room: string(data, "room"), messages, last: isWhole(data.last) ? data.last : null };
}

/** `full` is null if the server does not say it. */
function presence(data, flaws) {
  const users = list(data, "users", person, flaws);
  return { room: string(data, "room"), users, full: typeof data.full === "boolean" ? data.full : null };
}

function person(data) {
  return {
    user: isName(data?.user) ? data.user : fail("user"),
    status: STATUSES.includes(data.status) ? data.status : fail("status"),
    lastSeen: time(data.lastSeen ?? data.last_seen),
  };
}

/** Whatever it lacks, an error is one. */
function error({ code, message, id }) {
  const known = (value) => (typeof value === "string" ? value : null);
  return { code: known(code), message: known(message), id: known(id) };
}

// Single fields.

function fail(field) {
  throw new Flaw(field);
}

const isWhole = (value) => Number.isSafeInteger(value) && value >= 0;

/** 1 to 64 characters, of which each takes one or two units of a string. */
function isName(value) {
  return typeof value === "string" && value !== "" && value.length <= 128 && [...value].length <= 64;
}

function string(data, field) {
  return typeof data?.[field] === "string" ? data[field] : fail(field);
}

/** Milliseconds since 1970, from these or from seconds (those between 2001 and 5138); null if it is no time. */
function time(value) {
  if (typeof value !== "number" || !(Math.abs(value) <= LATEST)) return null;
  return value >= 1e9 && value < 1e11 ? value * 1000 : value;
}

/** The entries that can be read; what is wrong with the others goes to `flaws`. */
function list(data, field, readEntry, flaws) {
  if (!Array.isArray(data[field])) {
    flaws.push(field);
    return [];
  }
  return data[field].flatMap((entry) => {
    try {
      return [readEntry(entry)];
    } catch (error) {
      if (!(error instanceof Flaw)) throw error;
      flaws.push(`${field}: ${error.message}`);
      return [];
    }
  });
}
