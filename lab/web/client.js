/*
 * One user's connection to the chat: it comes back by itself, and says each message once.
 *
 * A connection may break at any moment, and then nobody knows whether the last message arrived. Two rules
 * make up for that, and both are the server's part as much as ours (rules J and R of the protocol):
 *
 *   - Who comes back tells for each room the highest number it has, and is sent what follows.
 *   - Each message has an `id` of ours and stays in the outbox until the server has sent it to us as well. It
 *     may be said again under the same `id`: the server stores it once.
 *
 * One message is under way at a time, and the next follows when it came back. So their order is kept, whatever
 * happens. There is no page in this module: it calls `changed` when there is something new to show.
 */

import { read, SYSTEM } from "./frames.js";
import { LIMITS } from "./limits.js";
import { Room, PAGE } from "./room.js";

const MAX_CONTENT = 64 * 1024; // bytes of UTF-8 in one message
const GREETING_PATIENCE = 10; // seconds in which a server greets us
const FIRST_RETRY = 0.5; // seconds; each further one waits twice as long ...
const LAST_RETRY = 10; // ... up to this
const LASTING = 5; // seconds after which a connection is a good one, and the next retry quick again
const RATE_PAUSE = 1; // seconds for which we are quiet when the server says that we talk too fast
const ROOMS_A_SECOND = 100; // that we enter: who asks for more at once may be taken for a flood
const BACKLOG = 1024 * 1024; // bytes that a server has not read, after which it gets no more heartbeats

const ignore = () => {};

export class Client {
  /**
   * address      of the server: a URL that begins with ws: or wss:; what it asks besides `user` is kept
   * user         the name that we ask for; the server may give us another one
   * outbox       messages that are not yet sent, from before the page was loaded: [{id, room, content}]
   * changed      is called whenever there is something new to show
   * toKeep       is called when `user`, `outbox` or the names of the rooms have changed
   * turnedAway   is called if the server does not take the name; nothing more happens then
   */
  constructor({ address, user, outbox = [], changed = ignore, toKeep = ignore, turnedAway = ignore }) {
    this.user = user;
    this.state = "connecting"; // or "online", "waiting" (to try again), "stopped"
    this.rooms = new Map(); // name -> Room
    this.outbox = outbox.map((entry) => ({ ...entry, refused: null })); // never changed, but replaced
    this.trouble = null; // the server's last error that concerns no message: {code, message}
    this.unreadable = null; // the first frame that we could not read, and how many: {flaw, received, count}
    this.address = new URL(address);
    this.address.searchParams.set("user", user);
    this.changed = changed;
    this.toKeep = toKeep;
    this.turnedAway = turnedAway;
    this.socket = null;
    this.underWay = null; // the id of the message that was sent and has not come back
    this.tries = 0;
    this.patience = GREETING_PATIENCE;
    this.timers = {}; // purpose -> the timer's number
  }

  // What the user does.

  start() {
    clearTimeout(this.timers.retry);
    this.state = "connecting";
    this.patience = GREETING_PATIENCE;
    this.socket = new WebSocket(this.address);
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = () => this.lost();
    this.awaitFrame();
    this.changed();
  }

  stop() {
    this.hangUp();
    this.state = "stopped";
    this.changed();
  }

  /** Do not wait any longer to try again. */
  hurry() {
    if (this.state === "waiting") this.start();
  }

  /** Returns the error's code if there are too many rooms. */
  join(name) {
    if (this.rooms.has(name)) return null;
    if (this.rooms.size >= LIMITS.rooms) return "too_many_rooms";
    this.rooms.set(name, new Room(name));
    this.share();
    if (this.state === "online") this.enter(this.rooms.get(name));
    this.toKeep();
    this.changed();
    return null;
  }

  /** Leave a room; what waits to be said there is dropped. */
  leave(name) {
    if (this.rooms.get(name).entered) this.send({ type: "leave", room: name });
    this.rooms.delete(name);
    this.share();
    this.outbox = this.outbox.filter((entry) => entry.room !== name);
    this.toKeep();
    this.speak();
    this.changed();
  }

  /** Say something, now or as soon as we can. Returns the error's code if it cannot be said at all. */
  say(room, content) {
    if (new TextEncoder().encode(content).length > MAX_CONTENT) return "too_large";
    const waiting = this.outbox.reduce((sum, entry) => sum + entry.content.length, content.length);
    if (this.outbox.length >= LIMITS.outbox || waiting > LIMITS.outboxText) return "outbox_full";
    this.outbox = [...this.outbox, { id: freshId(), room, content, refused: null }];
    this.toKeep();
    this.speak();
    this.changed();
    return null;
  }

  /** Try a refused message again. */
  sayAgain(id) {
    this.outbox = this.outbox.map((entry) => (entry.id === id ? { ...entry, refused: null } : entry));
    this.speak();
    this.changed();
  }

  /** Give a refused message up. */
  discard(id) {
    this.takeOut(id);
    this.changed();
  }

  /** Ask for the page before the oldest message of a room. */
  older(room) {
    if (room.joined && !room.asked && room.past) this.ask(room, room.past);
    this.changed();
  }

  /** Ask for the page behind the newest message, if a full room has left some on the server. */
  newer(room) {
    if (room.joined && !room.asked && room.next) this.ask(room, room.next);
  }

  /** Go on with the newest messages, if a full room has left some on the server; all others are its past. */
  skip(room) {
    if (!room.joined || !room.ahead || this.rooms.get(room.name) !== room) return;
    const before = room.ahead + 1;
    room.clear();
    this.ask(room, { after: Math.max(0, before - 1 - PAGE), before });
  }

  // What we send.

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** Become a member. Of a room that we know already, ask first whether the server knows it too. */
  enter(room) {
    room.checked = room.newest === 0;
    if (room.checked) this.letIn(room);
    else this.send({ type: "history", room: room.name, since: room.newest, limit: 1 });
  }

  letIn(room, since) {
    room.entered = true;
    this.send({ type: "join", room: room.name, since });
  }

  enterAll(rooms) {
    for (const room of rooms.splice(0, ROOMS_A_SECOND)) {
      if (this.rooms.get(room.name) === room && !room.entered) this.enter(room);
    }
    if (rooms.length) this.timers.enter = setTimeout(() => this.enterAll(rooms), 1000);
  }

  /** Give all rooms the same share of the memory. */
  share() {
    for (const room of this.rooms.values()) {
      room.most = LIMITS.memory / this.rooms.size;
      room.people.most = LIMITS.names / this.rooms.size;
      room.trim();
    }
  }

  /** Ask for the messages of a hole. */
  ask(room, hole) {
    room.asked = hole;
    const limit = Math.min(PAGE, hole.before - hole.after - 1);
    this.send({ type: "history", room: room.name, since: hole.after, limit });
  }

  /** Send the first message of the outbox that may be sent, unless one is under way. */
  speak() {
    if (this.state !== "online" || this.outbox.some((entry) => entry.id === this.underWay)) return;
    const next = this.outbox.find((entry) => !entry.refused && this.rooms.get(entry.room)?.joined);
    this.underWay = next?.id ?? null;
    if (!next) return;
    const { id, room, content } = next;
    this.send({ type: "message", data: { room, content, id } });
  }

  // What the server sends.

  receive(received) {
    const { type, data, flaw } = read(received);
    if (flaw) this.complain(flaw, received);
    if (data) this.take(type, data);
    if (this.socket) this.awaitFrame();
    this.changed();
  }

  complain(flaw, received) {
    const beginning = typeof received === "string" ? received.slice(0, LIMITS.excerpt) : "";
    this.unreadable ??= { count: 0, flaw, received: beginning };
    this.unreadable.count += 1;
  }

  take(type, data) {
    const room = this.rooms.get(data.room);
    if (type === "heartbeat") this.live();
    else if (type === "connected") this.welcome(data);
    else if (type === "error") this.refuse(data);
    else if (room && type === "message") this.hear(room, data);
    else if (room && type === "history") this.remember(room, data);
    else if (room && type === "presence") this.meet(room, data);
  }

  /** Answer a heartbeat, unless the server reads nothing of what we say. */
  live() {
    if (!(this.socket.bufferedAmount > BACKLOG)) this.send({ type: "heartbeat" });
  }

  welcome({ user, offlineTimeout }) {
    this.user = user ?? this.user;
    this.state = "online";
    this.patience = offlineTimeout; // who is silent for that long is gone, and that holds for servers too
    this.timers.lasting = setTimeout(() => (this.tries = 0), LASTING * 1000);
    this.enterAll([...this.rooms.values()]);
    this.toKeep();
  }

  hear(room, message) {
    const isNews = room.seen !== null && ![this.user, SYSTEM].includes(message.user);
    if (room.hear(message) && isNews) room.unread += 1;
    if (message.user === this.user) this.cameBack(message);
    this.mend(room);
  }

  remember(room, { messages, last }) {
    if (!room.checked) {
      room.checked = true;
      if (last !== null && last < room.newest) room.forget();
      this.letIn(room, room.newest ? room.since : undefined); // without it we get the newest messages
      return;
    }
    const isNews = ({ user, sequence }) => room.seen !== null && sequence > room.seen && user !== this.user;
    room.unread += room.takePage(messages).filter(isNews).length;
    for (const message of messages) if (message.user === this.user) this.cameBack(message);
    this.mend(room);
  }

  meet(room, { users, full }) {
    // Some servers do not say whether it is everybody. What answers our `join` is, and has us in it.
    const isFull = full ?? (!room.joined && users.some(({ user }) => user === this.user));
    room.people.take(users, isFull);
    if (!isFull || room.joined) return;
    room.joined = true; // the full list is the answer to our `join`
    room.seen ??= room.newest; // what was said before we first came is no news
    this.mend(room);
    this.speak();
  }

  refuse({ code, message, id }) {
    const entry = this.outbox.find((each) => each.id === id);
    if (code === "bad_name") {
      this.stop();
      this.turnedAway();
    } else if (this.state !== "online") {
      this.trouble = { code, message }; // we are not let in, and to try again would not help
      this.stop();
    } else if (!entry) {
      this.trouble = { code, message };
    } else if (code === "rate_limited") {
      this.timers.pause = setTimeout(() => this.speakNext(), RATE_PAUSE * 1000);
    } else {
      const refused = { ...entry, refused: { code, message } };
      this.outbox = this.outbox.map((each) => (each === entry ? refused : each));
      this.speakNext();
    }
  }

  /** A message of ours is said; the next may go. */
  cameBack({ id }) {
    this.takeOut(id);
    if (id === this.underWay) this.speakNext();
  }

  takeOut(id) {
    const rest = this.outbox.filter((entry) => entry.id !== id);
    if (rest.length === this.outbox.length) return;
    this.outbox = rest;
    this.toKeep();
  }

  speakNext() {
    this.underWay = null;
    this.speak();
  }

  /** Ask for what is missing between the messages that we have. */
  mend(room) {
    if (room.joined && !room.asked && room.hole) this.ask(room, room.hole);
  }

  // When the connection breaks.

  /** Give the connection up unless there is a frame in time: a dead network does not say that it is dead. */
  awaitFrame() {
    clearTimeout(this.timers.silence);
    this.timers.silence = setTimeout(() => this.lost(), this.patience * 1000);
  }

  lost() {
    this.hangUp();
    for (const room of this.rooms.values()) room.disconnected();
    const seconds = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** this.tries);
    const spread = (1 + Math.random()) / 2; // lest all clients come back to a restarted server at once
    this.tries += 1;
    this.timers.retry = setTimeout(() => this.start(), seconds * spread * 1000);
    this.state = "waiting";
    this.changed();
  }

  hangUp() {
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.underWay = null;
    if (!this.socket) return;
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }
}

/** 128 random bits. (`crypto.randomUUID` is there for https and localhost only.) */
function freshId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
