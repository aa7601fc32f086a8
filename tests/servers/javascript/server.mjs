// A chat server that keeps lab/PROTOCOL.md and was written from that page alone.
// The letters in the comments (N O D J R L I P E S) are the names of its rules.

import { randomBytes, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { WebSocket, WebSocketServer } from 'ws';

const MIB = 1024 * 1024;
const MAX_FRAME = MIB; // in either direction
const MAX_PAGE = MAX_FRAME - 4096; // messages in a history frame; the rest is for what surrounds them
const MAX_CONTENT = 64 * 1024; // bytes of UTF-8
const MAX_WAITING = 8 * MIB; // S: who lets more than this wait is disconnected
const HIGH_WATER = 64 * 1024; // a connection's requests wait while this much waits for its reader
const MAX_IN_FLIGHT = 64; // messages of one connection that are being stored at the same time
const MAX_BATCH = 256; // messages stored by one fsync
const MAX_QUEUE = { frames: 500, characters: 4 * MIB }; // read but not handled, before we stop reading
const RATE = { perSecond: 500, burst: 2000 }; // generous, so that a stall of ours limits nobody

const HOST = process.env.HOST || '127.0.0.1';
const PORT = Number(process.env.PORT || 8080);
const DATA_DIR = process.env.DATA_DIR || './data';
const HEARTBEAT = milliseconds(process.env.HEARTBEAT_INTERVAL || 30);
const TIMEOUT = milliseconds(process.env.OFFLINE_TIMEOUT || 60);

function milliseconds(seconds) {
  if (!(seconds > 0)) throw new Error(`an interval must be a number of seconds above 0, not ${seconds}`);
  return Math.min(seconds * 1000, 2 ** 31 - 1); // node's timers go no further
}

/** Why a frame cannot be obeyed (E). */
class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

function demand(condition, code, message) {
  if (!condition) throw new Refusal(code, message);
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

// ---------------------------------------------------------------------------------------------------
// Rooms and the log. One file holds the messages of all rooms, one line of JSON each, which is exactly
// the `data` of the message's frame. Memory only knows where each line lies.

class Room {
  members = new Map(); // user -> the set of its connections here
  offsets = []; // where in the log message n lies: entry n - 1
  sizes = []; // and how many bytes it has, without the line feed; 0 where it is lost
  numbered = 0; // the highest number given out; those above `last` are being stored
  ids = new Map(); // R: user and id -> number

  constructor(name) {
    this.name = name;
  }
  get last() {
    return this.offsets.length;
  }
  add(offset, size) {
    this.offsets.push(offset);
    this.sizes.push(size);
  }
}

const rooms = new Map();
const retryKey = (user, id) => `${user.length} ${user} ${id}`;

function roomNamed(name) {
  if (!rooms.has(name)) rooms.set(name, new Room(name));
  return rooms.get(name);
}

/** Forget a room in which nobody is and nothing was said. */
function tidy(room) {
  if (!room.members.size && !room.numbered) rooms.delete(room.name);
}

const [write, truncate, sync] = [fs.write, fs.ftruncate, fs.fdatasync].map((call) => promisify(call));
let end = 0; // the log is good up to here
let unclean = false; // and there may be something behind
const fd = openLog(path.join(DATA_DIR, 'messages.jsonl'));

/** Read the log, and cut off what was being written when the server died (D). */
function openLog(file) {
  fs.mkdirSync(DATA_DIR, { recursive: true });
  const log = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644);
  const chunk = Buffer.alloc(4 * MIB);
  let rest = Buffer.alloc(0); // a line whose end we have not seen yet
  let restAt = 0;
  for (let count; (count = fs.readSync(log, chunk, 0, chunk.length, restAt + rest.length)); ) {
    const bytes = Buffer.concat([rest, chunk.subarray(0, count)]);
    let start = 0;
    for (let stop; (stop = bytes.indexOf(10, start)) >= 0; start = stop + 1) {
      if (remember(bytes.subarray(start, stop), restAt + start)) end = restAt + stop + 1;
    }
    rest = bytes.subarray(start);
    restAt += start;
  }
  if (restAt + rest.length > end) {
    console.error(`${file}: cut off a torn end of ${restAt + rest.length - end} bytes`);
    fs.ftruncateSync(log, end);
  }
  const folder = fs.openSync(DATA_DIR, 'r');
  for (const each of [log, folder]) fs.fsyncSync(each); // what we show from now on has to be safe
  fs.closeSync(folder);
  return log;
}

/** Take a line of the log into the index; says whether it was one. */
function remember(line, offset) {
  let said;
  try {
    said = JSON.parse(line.toString());
  } catch {
    return false;
  }
  if (!isObject(said) || !Number.isSafeInteger(said.sequence)) return false;
  if (![said.room, said.user, said.id].every((text) => typeof text === 'string')) return false;
  const room = roomNamed(said.room);
  if (said.sequence <= room.last) return false;
  while (room.last < said.sequence - 1) room.add(0, 0); // damaged after the fact: the number stays taken
  room.add(offset, line.length);
  room.numbered = room.last;
  room.ids.set(retryKey(said.user, said.id), said.sequence);
  return true;
}

/** The line of message number n. It nearly always comes from the page cache, so it is read at once. */
function readLine(room, n) {
  const line = Buffer.alloc(room.sizes[n - 1]);
  const count = fs.readSync(fd, line, 0, line.length, room.offsets[n - 1]);
  demand(count && count === line.length, 'unavailable', 'A stored message cannot be read.');
  return line;
}

/** Append to the log and wait until the disk has it; if that fails, the log is as it was before. */
async function store(bytes) {
  if (unclean) await truncate(fd, end);
  unclean = true;
  try {
    for (let done = 0; done < bytes.length; ) {
      done += (await write(fd, bytes, done, bytes.length - done, end + done)).bytesWritten;
    }
    await sync(fd);
    end += bytes.length;
    unclean = false;
  } catch (error) {
    await truncate(fd, end).then(() => (unclean = false), () => {});
    throw error;
  }
}

// ---------------------------------------------------------------------------------------------------
// Accepting messages. What arrives while one batch is written and synced makes up the next batch.

const arrivals = [];
let storing = false;

async function storeArrivals() {
  if (storing) return;
  storing = true;
  while (arrivals.length) {
    const batch = arrivals.splice(0, MAX_BATCH);
    const fresh = batch.filter(number);
    let [offset, failed] = [end, false];
    try {
      if (fresh.length) await store(Buffer.concat(fresh.flatMap((entry) => [entry.line, Buffer.from('\n')])));
    } catch (error) {
      failed = true;
      console.error('cannot store:', error.message);
    }
    // Nothing is awaited from here on: whoever joins has either all of the batch in its history or none.
    for (const { connection, room, line, key, id, sequence } of batch) {
      if (line && !failed) {
        room.add(offset, line.length);
        offset += line.length + 1;
        broadcast(room, messageFrame(line)); // D: only now; O: in the order of the numbers
      } else if (line) {
        room.ids.delete(key); // N: the number will be given to another one
        room.numbered = room.last;
        tidy(room);
      }
      try {
        demand(sequence <= room.last, 'unavailable', 'The message could not be stored.');
        if (!line) send(connection, messageFrame(readLine(room, sequence))); // R: to this sender alone
      } catch (error) {
        refuse(connection, error, id);
      }
      connection.inFlight -= 1;
      if (!connection.inFlight) connection.wake();
    }
  }
  storing = false;
}

/** Give a new message its number and its line; says no if it has them already (R). */
function number(entry) {
  const { user, content } = entry;
  const id = entry.id ?? randomUUID();
  const room = (entry.room = roomNamed(entry.roomName));
  entry.key = retryKey(user, id);
  entry.sequence = room.ids.get(entry.key);
  if (entry.sequence) return false;
  const sequence = (entry.sequence = room.numbered += 1);
  room.ids.set(entry.key, sequence);
  const said = { id, room: room.name, user, content, sequence, timestamp: Date.now() };
  entry.line = Buffer.from(JSON.stringify(said));
  return true;
}

// ---------------------------------------------------------------------------------------------------
// Sending

const frame = (type, data) => Buffer.from(JSON.stringify({ type, data }));
const messageFrame = (line) => Buffer.from(`{"type":"message","data":${line}}`);

function send(connection, bytes) {
  if (!isOpen(connection)) return;
  if (connection.ws.bufferedAmount + bytes.length > MAX_WAITING) disconnect(connection); // S
  else connection.ws.send(bytes, { binary: false });
}

/** To every member's connections, and to nobody else (I). */
function broadcast(room, bytes) {
  for (const own of room.members.values()) for (const connection of own) send(connection, bytes);
}

function refuse(connection, error, id) {
  if (!(error instanceof Refusal)) console.error(error);
  const { code, message } = error instanceof Refusal ? error : new Refusal('unavailable', 'Not now.');
  send(connection, frame('error', { code, message, id }));
}

/** Tell a room that a user has come or gone (P, L). */
function announce(room, user, status, lastSeen) {
  if (stopping) return;
  broadcast(room, frame('presence', { room: room.name, users: [{ user, status, lastSeen }], full: false }));
  const content = `${user} has ${status === 'online' ? 'joined' : 'left'}`;
  const said = { id: randomUUID(), room: room.name, user: 'system', content };
  broadcast(room, frame('message', { ...said, sequence: room.last, timestamp: Date.now() }));
}

function presenceFrame(name) {
  const users = [...(rooms.get(name)?.members ?? [])].map(([user, own]) => {
    return { user, status: 'online', lastSeen: Math.max(...[...own].map((each) => each.lastSeen)) };
  });
  return frame('presence', { room: name, users, full: true });
}

/** The messages above `since`, at most `limit` and at most a frame full; and where the page ends. */
function historyPage(name, since, limit) {
  const room = rooms.get(name) ?? new Room(name);
  const lines = [];
  let [size, upTo] = [0, since];
  while (upTo < room.last && lines.length < limit) {
    size += room.sizes[upTo] + 1;
    if (lines.length && size > MAX_PAGE) break;
    upTo += 1;
    if (room.sizes[upTo - 1]) lines.push(readLine(room, upTo));
  }
  const head = `{"type":"history","data":{"room":${JSON.stringify(name)},"messages":[`;
  const tail = `],"last":${room.last},"more":${upTo < room.last}}}`;
  return { upTo, bytes: Buffer.from(head + lines.join(',') + tail) };
}

// ---------------------------------------------------------------------------------------------------
// What clients ask for

const isId = (value) => typeof value === 'string' && hasCharacters(value, 128);

/** Whether a text has 1 to `most` characters, all of them whole. */
function hasCharacters(text, most) {
  return text.length > 0 && text.length <= 2 * most && [...text].length <= most && text.isWellFormed();
}

function textField(object, name) {
  demand(typeof object[name] === 'string', 'bad_request', `"${name}" must be there and be a string.`);
  return object[name];
}

/** A whole number; `null` is the same as left out. */
function wholeField(object, name, least, standard) {
  const value = object[name] ?? standard;
  const whole = Number.isInteger(value) || value === Infinity; // which is what 1 and 400 zeros become
  const good = value === undefined || (whole && value >= least);
  demand(good, 'bad_request', `"${name}" must be a whole number, ${least} or more.`);
  return value;
}

function roomField(object) {
  const name = textField(object, 'room');
  const good = /^[\p{L}\p{M}\p{Nd}_.-]{1,64}$/u.test(name) && !/^\.+$/.test(name);
  demand(good, 'bad_room', 'A room name has 1 to 64 letters, digits, "_", "-" and ".".');
  return name;
}

async function join(connection, request) {
  const name = roomField(request);
  const since = wholeField(request, 'since', 0, undefined);
  const room = roomNamed(name);
  if (!connection.rooms.has(room)) {
    // J: as long as pages are missing it is no member. A page is read at once, and when the last one
    // is out it becomes a member in the same turn of the event loop: that is the seam.
    let seen = since ?? Math.max(0, room.last - 50);
    while (seen < room.last && isOpen(connection)) {
      const page = historyPage(name, seen, 100);
      send(connection, page.bytes);
      seen = page.upTo;
      if (seen < room.last) await readable(connection);
    }
    if (connection.dead) return;
    if (!room.members.has(connection.user)) {
      announce(room, connection.user, 'online', connection.lastSeen);
      room.members.set(connection.user, new Set());
    }
    room.members.get(connection.user).add(connection);
    connection.rooms.add(room);
  }
  send(connection, presenceFrame(name));
}

function leave(connection, request) {
  const room = rooms.get(roomField(request));
  demand(connection.rooms.has(room), 'not_joined', 'You are not in this room.');
  leaveRoom(connection, room);
}

function leaveRoom(connection, room) {
  connection.rooms.delete(room);
  const own = room.members.get(connection.user);
  own.delete(connection);
  if (own.size) return; // L: only the last connection counts
  room.members.delete(connection.user);
  announce(room, connection.user, 'offline', connection.lastSeen);
  tidy(room);
}

function message(connection, { data }) {
  demand(isObject(data), 'bad_request', '"data" must be there and be an object.');
  const roomName = roomField(data);
  const content = textField(data, 'content');
  const id = data.id ?? undefined;
  demand(id === undefined || isId(id), 'bad_request', 'An "id" is a string of 1 to 128 characters.');
  demand(content && content.isWellFormed(), 'bad_content', 'A content has whole characters, at least one.');
  const small = Buffer.byteLength(content) <= MAX_CONTENT;
  demand(small, 'too_large', `A content has at most ${MAX_CONTENT} bytes.`);
  demand(connection.rooms.has(rooms.get(roomName)), 'not_joined', 'You are not in this room.');
  const now = performance.now();
  const earned = ((now - connection.tokensAt) / 1000) * RATE.perSecond;
  connection.tokens = Math.min(RATE.burst, connection.tokens + earned);
  connection.tokensAt = now;
  demand(connection.tokens >= 1, 'rate_limited', 'Too many messages: this one was not accepted.');
  connection.tokens -= 1;
  connection.inFlight += 1;
  arrivals.push({ connection, user: connection.user, roomName, content, id });
  storeArrivals();
}

function presence(connection, request) {
  send(connection, presenceFrame(roomField(request)));
}

async function history(connection, request) {
  const name = roomField(request);
  const since = wholeField(request, 'since', 0, 0);
  const limit = wholeField(request, 'limit', 1, 100);
  send(connection, historyPage(name, since, Math.min(limit, 100)).bytes);
  await nextTurn(); // others first: there may be many of these in the queue
}

const requests = new Map(Object.entries({ join, leave, message, presence, history, heartbeat() {} }));

// ---------------------------------------------------------------------------------------------------
// Connections

const connections = new Set();
let stopping = false;

const isOpen = (connection) => !connection.dead && connection.ws.readyState === WebSocket.OPEN;

/** Wait for something that `wake` may have brought about. Only a connection's own queue waits. */
async function until(connection, condition) {
  while (!condition()) await new Promise((resolve) => (connection.wake = resolve));
}

const settled = (connection) => until(connection, () => !connection.inFlight);

/** Wait until the reader has taken what we sent, and let others have their turn. */
async function readable(connection) {
  await nextTurn();
  await until(connection, () => !isOpen(connection) || connection.ws.bufferedAmount <= HIGH_WATER);
}

/** The frames of one connection, one after the other. Only messages may be on their way together. */
async function work(connection) {
  if (connection.working) return;
  connection.working = true;
  const { ws, queue } = connection;
  while (queue.length && !connection.dead && !stopping) {
    if (isOpen(connection) && ws.bufferedAmount > HIGH_WATER) await readable(connection);
    const text = queue.shift() ?? '';
    connection.queued -= text.length;
    if (ws.isPaused && queue.length < MAX_QUEUE.frames / 2 && connection.queued < MAX_QUEUE.characters / 2) {
      ws.resume();
    }
    await handle(connection, text);
  }
  connection.working = false;
  if (!connection.gone) return;
  await settled(connection); // L: what it said is heard before it is seen to leave
  forget(connection);
}

async function handle(connection, text) {
  let request;
  try {
    try {
      request = JSON.parse(text);
    } catch {} // `undefined` is no object either
    demand(isObject(request), 'bad_json', 'A frame is one JSON object, as text.');
    const type = textField(request, 'type');
    demand(requests.has(type), 'unknown_type', 'There is no such type.');
    if (type !== 'message' || connection.inFlight >= MAX_IN_FLIGHT) await settled(connection);
    await requests.get(type)(connection, request);
  } catch (error) {
    await settled(connection); // answers keep the order of what they answer
    const id = request?.type === 'message' ? request.data?.id : undefined;
    refuse(connection, error, isId(id) ? id : undefined);
  }
}

/** Give a connection up, with a close code or, if its reader is too slow for that, without. */
function disconnect(connection, code, reason) {
  if (connection.dead) return;
  connection.dead = true;
  connection.queue.length = 0;
  connection.wake();
  connection.ws.resume(); // to see the client's close frame
  if (code) connection.ws.close(code, reason);
  else connection.ws.terminate();
  setImmediate(forget, connection); // not at once: we may be in the middle of a broadcast
}

/** The connection's user leaves all rooms, unless it is there on another one (L). */
function forget(connection) {
  connections.delete(connection);
  for (const room of connection.rooms) leaveRoom(connection, room);
}

/** The name in `?user=`: undefined if there is none, null if it cannot be had. */
function nameIn(url) {
  const query = url.includes('?') ? url.slice(url.indexOf('?') + 1).split('&') : [];
  const given = query.find((part) => /^user(=|$)/.test(part));
  if (given === undefined) return undefined;
  try {
    const name = decodeURIComponent(given.slice('user='.length).replaceAll('+', ' '));
    return hasCharacters(name, 64) && name !== 'system' ? name : null;
  } catch {
    return null;
  }
}

function connect(ws, { url, socket }) {
  ws.on('error', () => {}); // ws itself closes the connection, and then says so
  const name = nameIn(url);
  if (name === null) {
    ws.send(frame('error', { code: 'bad_name', message: 'This name cannot be had.' }), { binary: false });
    return ws.close(1008, 'bad_name');
  }
  const user = name ?? `user_${randomBytes(4).toString('hex')}`;
  const connection = {
    ws,
    user,
    rooms: new Set(),
    queue: [], // frames that were read but not handled: texts, or null for what was not text
    queued: 0, // their size
    working: false,
    inFlight: 0, // messages that are being stored
    wake: () => {},
    gone: false, // the client has ended the connection
    dead: false, // we have
    tokens: RATE.burst,
    tokensAt: performance.now(),
    aliveAt: performance.now(), // the last sign of life, as the timeout counts
    lastSeen: Date.now(), // and as others see it
  };
  connections.add(connection);
  const intervals = { heartbeatInterval: HEARTBEAT / 1000, offlineTimeout: TIMEOUT / 1000 };
  send(connection, frame('connected', { clientId: randomUUID(), user, ...intervals }));
  socket.on('data', () => {
    connection.aliveAt = performance.now(); // P: any frame, ping or pong, and every part of one
    connection.lastSeen = Date.now();
    if (ws.bufferedAmount > MAX_WAITING) disconnect(connection); // S: by unread pongs
  });
  socket.on('drain', () => connection.wake());
  ws.on('message', (data, isBinary) => {
    if (connection.dead || stopping) return;
    const text = isBinary ? null : data.toString();
    connection.queue.push(text);
    connection.queued += text?.length ?? 0;
    const { queue, queued } = connection;
    if (queue.length > MAX_QUEUE.frames || queued > MAX_QUEUE.characters) ws.pause();
    work(connection);
  });
  ws.on('close', () => {
    connection.gone = true; // but what it had said before is still handled
    connection.wake();
    work(connection);
  });
}

// ---------------------------------------------------------------------------------------------------
// Time

function heartbeat() {
  for (const connection of connections) send(connection, Buffer.from('{"type":"heartbeat"}'));
}

const TICK = Math.min(100, Math.max(10, HEARTBEAT / 4));
let tickAt = performance.now();

/** Find out who is silent (P). While the server was held up it heard nobody, so that does not count. */
function watch() {
  const now = performance.now();
  const late = now - tickAt - TICK;
  tickAt = now;
  for (const connection of connections) {
    const waitsForUs = connection.ws.isPaused && connection.ws.bufferedAmount <= HIGH_WATER;
    if (waitsForUs) connection.aliveAt = now;
    else if (late > 20) connection.aliveAt = Math.min(now, connection.aliveAt + late);
  }
  setImmediate(() => {
    // By now the event loop has read what was lying in the sockets.
    for (const connection of connections) {
      if (now - connection.aliveAt > TIMEOUT) disconnect(connection, 1001, 'no sign of life');
    }
  });
}

async function stop() {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(0), 4000); // whatever happens
  server.close(); // no new ones
  while (storing) await sleep(5); // what was accepted is stored and sent
  for (const ws of server.clients) {
    ws.resume();
    ws.close(1001, 'the server stops');
  }
  for (let i = 0; i < 200 && server.clients.size; i += 1) await sleep(10);
  process.exit(0);
}

const options = {
  maxPayload: MAX_FRAME,
  perMessageDeflate: false,
  closeTimeout: 5000,
  maxPendingAutoPongs: 0, // ws would cut off whoever sends 61 pings at once; we look at bytes (see above)
};
const server = new WebSocketServer({ host: HOST, port: PORT, ...options });
server.on('connection', connect);
server.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
server.on('listening', () => {
  console.log(`listening on ws://${HOST}:${server.address().port}/`);
  setInterval(heartbeat, HEARTBEAT);
  setInterval(watch, TICK);
});
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
