/**
 * What clients send, checked; and the server's frames as bytes. Nothing here does any input or output.
 *
 * `parse` turns a text into a `ClientFrame` that keeps every rule, or throws a `BadFrame`, which says what to
 * answer. The rest of the server so never meets a bad name, a missing field or half of a character.
 */

import { MAX_PAGE, type History, type ServerFrame } from "./types.js";

// --- limits ---------------------------------------------------------------------------------------

/** Bytes of one WebSocket frame, in either direction. */
export const MAX_FRAME = 1024 * 1024;
/** The user in whose name joining and leaving are announced; nobody else may have it. */
export const SYSTEM = "system";

const MAX_CONTENT = 64 * 1024; // bytes of UTF-8
const MAX_NAME = 64; // characters in the name of a user
const MAX_ID = 128; // characters in the `id` of a message
const ROOM_NAME = /^(?!\.+$)[\p{L}\p{M}\p{N}_.-]{1,64}$/u;
const LONE_SURROGATE = /\p{Surrogate}/u; // with `u`, the two halves of a whole character do not match

// --- frames ---------------------------------------------------------------------------------------

/** What a client may ask for. `since` is undefined in a `join` that did not say it. */
export type ClientFrame =
  | { readonly type: "join"; readonly room: string; readonly since: number | undefined }
  | { readonly type: "leave"; readonly room: string }
  | { readonly type: "message"; readonly room: string; readonly content: string; readonly id: string | undefined }
  | { readonly type: "presence"; readonly room: string }
  | { readonly type: "history"; readonly room: string; readonly since: number; readonly limit: number }
  | { readonly type: "heartbeat" };

/** The `ClientFrame` of one type: `Frame<"join">`. */
export type Frame<Type extends ClientFrame["type"]> = Extract<ClientFrame, { readonly type: Type }>;

/** All that the server sends: what components may send, and two frames of its own. Intervals in seconds. */
export type AnyServerFrame =
  | ServerFrame
  | {
      readonly type: "connected";
      readonly data: {
        readonly clientId: string;
        readonly user: string;
        readonly heartbeatInterval: number;
        readonly offlineTimeout: number;
      };
    }
  | {
      readonly type: "error";
      readonly data: { readonly code: ErrorCode; readonly message: string; readonly id?: string | undefined };
    };

/** What was wrong with a client's frame. */
export type ErrorCode =
  | "bad_json"
  | "bad_request"
  | "unknown_type"
  | "bad_room"
  | "bad_content"
  | "bad_name"
  | "not_joined"
  | "too_large"
  | "rate_limited"
  | "unavailable";

/** A client's frame that cannot be obeyed. `id` is that of the chat message which the frame held, if any. */
export class BadFrame extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly id?: string,
  ) {
    super(message);
  }
}

// --- reading what a client sent -------------------------------------------------------------------

/** The fields of a JSON object, of which nothing is known yet. */
type Fields = Readonly<Record<string, unknown>>;

/** The frame in `text`. Throws BadFrame, and nothing else, if there is none. */
export function parse(text: string): ClientFrame {
  const fields = parseObject(text);
  switch (fields.type) {
    case "join":
      return { type: "join", room: roomIn(fields), since: wholeNumberIn(fields, "since", 0) };
    case "leave":
      return { type: "leave", room: roomIn(fields) };
    case "message":
      return parseMessage(fields.data);
    case "presence":
      return { type: "presence", room: roomIn(fields) };
    case "history": {
      const since = wholeNumberIn(fields, "since", 0) ?? 0;
      const limit = wholeNumberIn(fields, "limit", 1) ?? MAX_PAGE;
      return { type: "history", room: roomIn(fields), since, limit: Math.min(limit, MAX_PAGE) };
    }
    case "heartbeat":
      return { type: "heartbeat" };
    default:
      if (typeof fields.type === "string") throw new BadFrame("unknown_type", "there is no such `type`");
      throw new BadFrame("bad_request", "a frame needs a `type`, which is a string");
  }
}

function parseObject(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BadFrame("bad_json", "this is not JSON");
  }
  if (!isObject(value)) throw new BadFrame("bad_json", 'a frame is one JSON object, such as {"type": "heartbeat"}');
  return value;
}

function parseMessage(data: unknown): Frame<"message"> {
  if (!isObject(data)) throw new BadFrame("bad_request", "a `message` needs `data`, which is an object");
  const id = idIn(data); // first, so that the other errors can name it
  return { type: "message", room: roomIn(data, id), content: contentIn(data, id), id };
}

function idIn(fields: Fields): string | undefined {
  const id = fields.id ?? undefined; // null stands for an absent field, here and below
  if (id === undefined || (typeof id === "string" && isName(id, MAX_ID))) return id;
  throw new BadFrame("bad_request", `an \`id\` is a string of 1 to ${MAX_ID} characters`);
}

function roomIn(fields: Fields, id?: string): string {
  const room = stringIn(fields, "room", id);
  if (ROOM_NAME.test(room)) return room;
  const rule = "a room's name has 1 to 64 letters, digits, `_`, `-` or `.`, and not only dots";
  throw new BadFrame("bad_room", rule, id);
}

function contentIn(fields: Fields, id?: string): string {
  const content = stringIn(fields, "content", id);
  if (content === "") throw new BadFrame("bad_content", "`content` is empty", id);
  if (LONE_SURROGATE.test(content)) throw new BadFrame("bad_content", "`content` holds half of a character", id);
  if (Buffer.byteLength(content) <= MAX_CONTENT) return content;
  throw new BadFrame("too_large", `\`content\` may have ${MAX_CONTENT} bytes of UTF-8`, id);
}

function stringIn(fields: Fields, name: string, id?: string): string {
  const value = fields[name];
  if (typeof value === "string") return value;
  throw new BadFrame("bad_request", `\`${name}\` is missing, or no string`, id);
}

/** The whole number in a field; undefined if there is none. */
function wholeNumberIn(fields: Fields, name: string, least: number): number | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  // A number of 400 digits is a whole one, but JSON.parse makes it Infinity; no sequence is that high either.
  const isWhole = Number.isInteger(value) || value === Infinity;
  if (typeof value === "number" && isWhole && value >= least) return Math.min(value, Number.MAX_SAFE_INTEGER);
  throw new BadFrame("bad_request", `\`${name}\` is a whole number, ${least} or more`);
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether `text` has 1 to `most` whole characters. (`length` would count two for an emoji.) */
function isName(text: string, most: number): boolean {
  return text !== "" && Array.from(text).length <= most && !LONE_SURROGATE.test(text);
}

/**
 * The user's name that a connection to `url` asks for by `?user=`; undefined where it asks for none.
 *
 * Throws BadFrame for a name that cannot be had. (URLSearchParams would quietly replace what is no UTF-8.)
 */
export function userIn(url: string): string | undefined {
  const [, ...query] = url.split("?"); // a name may have a question mark, too
  const given = query.join("?").split("&").find((pair) => pair === "user" || pair.startsWith("user="));
  if (given === undefined) return undefined;
  const name = decode(given.slice("user=".length));
  if (name !== undefined && isName(name, MAX_NAME) && name !== SYSTEM) return name;
  throw new BadFrame("bad_name", `a user's name has 1 to ${MAX_NAME} characters, and is not \`${SYSTEM}\``);
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

// --- writing what the server answers --------------------------------------------------------------

/** The UTF-8 text of a frame. */
export function encode(frame: AnyServerFrame): Buffer {
  return Buffer.from(JSON.stringify(frame));
}

/**
 * The texts of as many `history` frames as it takes for each to stay within MAX_FRAME. A page of messages may
 * have some megabytes, so they are made one after the other, as they are asked for.
 */
export function* encodeHistory(history: History): Generator<Buffer> {
  let page: string[] = [];
  let size = 0;
  for (const message of history.messages) {
    const text = JSON.stringify(message);
    const more = Buffer.byteLength(text) + ",".length;
    if (page.length > 0 && size + more > MAX_FRAME - HISTORY_FRAME) {
      yield historyFrame(history, page, true);
      page = [];
      size = 0;
    }
    page.push(text);
    size += more;
  }
  yield historyFrame(history, page, history.more);
}

/** Bytes in a `history` frame beside its messages, at most: a room's name has up to 64 characters. */
const HISTORY_FRAME = 1024;

/** `encode` for messages that are JSON already: they were, to learn how long they are. */
function historyFrame({ room, last }: History, messages: readonly string[], more: boolean): Buffer {
  const head = `{"type":"history","data":{"room":${JSON.stringify(room)},"messages":[`;
  return Buffer.from(`${head}${messages.join(",")}],"last":${last},"more":${more}}}`);
}
