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

import { Room, PAGE } from "./room.js";

const MAX_CONTENT = 64 * 1024; // bytes of UTF-8 in one message
const GREETING_PATIENCE = 10; // seconds in which a server greets us
const FIRST_RETRY = 0.5; // seconds; each further one waits twice as long ...
const LAST_RETRY = 10; // ... up to this
const LASTING = 5; // seconds after which a connection is a good one, and the next retry quick again
const RATE_PAUSE = 1; // seconds for which we are quiet when the server says that we talk too fast

export class Client {
  /**
   * address      of the server: a URL that begins with ws: or wss:; what it asks besides `user` is kept
   * user         the name that we ask for; the server may give us another one
   * outbox       messages that are not yet sent, from before the page was loaded: [{id, room, content}]
   * changed      is called whenever there is something new to show
   * turnedAway   is called if the server does not take the name; nothing more happens then
   */
  constructor({ address, user, outbox = [], changed = () => {}, turnedAway = () => {} }) {
    this.user = user;
    this.state = "connecting"; // or "online", "waiting" (to try again), "stopped"
    this.rooms = new Map(); // name -> Room
    this.outbox = outbox.map((entry) => ({ ...entry, refused: null }));
    this.trouble = null; // the server's last error that concerns no message: {code, message}
    this.address = new URL(address);
    this.address.searchParams.set("user", user);
    this.changed = changed;
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
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
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

  join(name) {
    if (this.rooms.has(name)) return;
    this.rooms.set(name, new Room(name));
    if (this.state === "online") this.enter(this.rooms.get(name));
    this.changed();
  }

  /** Leave a room; what waits to be said there is dropped. */
  leave(name) {
    const hasAsked = this.state === "online" && this.rooms.get(name).checked; // to be let in
    if (hasAsked) this.send({ type: "leave", room: name });
    this.rooms.delete(name);
    this.outbox = this.outbox.filter((entry) => entry.room !== name);
    this.speak();
    this.changed();
  }

  /** Say something, now or as soon as we can. Returns the error's code if it cannot be said at all. */
  say(room, content) {
    if (new TextEncoder().encode(content).length > MAX_CONTENT) return "too_large";
    this.outbox.push({ id: freshId(), room, content, refused: null });
    this.speak();
    this.changed();
    return null;
  }

  /** Try a refused message again. */
  sayAgain(id) {
    for (const entry of this.outbox) if (entry.id === id) entry.refused = null;
    this.speak();
    this.changed();
  }

  /** Give a refused message up. */
  discard(id) {
    this.outbox = this.outbox.filter((entry) => entry.id !== id);
    this.changed();
  }

  /** Ask for the page before the oldest message of a room. */
  older(name) {
    const room = this.rooms.get(name);
    if (room?.joined && !room.asked && room.past) this.ask(room, room.past);
    this.changed();
  }

  // What we send.

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** Become a member. Of a room that we know already, ask first whether the server knows it too. */
  enter(room) {
    room.checked = room.newest === 0;
    if (room.checked) this.send({ type: "join", room: room.name });
    else this.send({ type: "history", room: room.name, since: room.newest, limit: 1 });
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

  receive({ type, data }) {
    const room = this.rooms.get(data?.room);
    if (type === "heartbeat") this.send({ type: "heartbeat" });
    else if (type === "connected") this.welcome(data);
    else if (type === "error") this.refuse(data);
    else if (room && type === "message") this.hear(room, data);
    else if (room && type === "history") this.remember(room, data);
    else if (room && type === "presence") this.meet(room, data);
    if (this.socket) this.awaitFrame();
    this.changed();
  }

  welcome({ user, offlineTimeout }) {
    this.user = user;
    this.state = "online";
    this.patience = offlineTimeout; // who is silent for that long is gone, and that holds for servers too
    this.timers.lasting = setTimeout(() => (this.tries = 0), LASTING * 1000);
    for (const room of this.rooms.values()) this.enter(room);
  }

  hear(room, message) {
    room.add(message);
    if (message.user === this.user) this.cameBack(message);
    this.mend(room);
  }

  remember(room, { messages, last }) {
    if (!room.checked) {
      room.checked = true;
      if (last < room.newest) room.forget();
      const since = room.newest ? room.since : undefined; // without it we get the newest messages
      this.send({ type: "join", room: room.name, since });
      return;
    }
    room.takePage(messages);
    for (const message of messages) if (message.user === this.user) this.cameBack(message);
    this.mend(room);
  }

  meet(room, { users, full }) {
    room.takePeople(users, full);
    if (!full || room.joined) return;
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
      entry.refused = { code, message };
      this.speakNext();
    }
  }

  /** A message of ours is said; the next may go. */
  cameBack({ id }) {
    this.outbox = this.outbox.filter((entry) => entry.id !== id);
    if (id === this.underWay) this.speakNext();
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
