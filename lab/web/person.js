/*
 * One person of the teaching page: a connection that does what it is told, right or wrong, and keeps what passed.
 *
 * This is not client.js, which comes back by itself and hides what goes wrong. Here everything shows: each frame of
 * both directions is kept as it was, with what the judge makes of it.
 */

import { gist } from "./gist.js";
import { breach, Judge } from "./judge.js";
import { LIMITS } from "./limits.js";

const ASSUMED = { interval: 30, timeout: 60 }; // seconds, if the server does not say (PROTOCOL.md)
const PATIENCE = 3; // seconds after which a message should have come back
const BACKLOG = 1024 * 1024; // bytes that a server has not read, after which it gets no more heartbeats

/** What can be sent that no server should obey: kind -> the frame for a room, as it is sent. */
export const BAD_FRAMES = new Map([
  ["notJson", () => '{"type": "message", "data": {'],
  ["noType", () => '{"data": {}}'],
  ["unknownKind", () => '{"type": "dance"}'],
  ["badRoom", () => '{"type": "join", "room": "../../etc"}'],
  ["otherRoom", (room) => JSON.stringify({ type: "message", data: { room: `${room}.2`, content: "?" } })],
  ["empty", (room) => JSON.stringify({ type: "message", data: { room, content: "" } })],
  [
    "tooLong",
    (room) => JSON.stringify({ type: "message", data: { room, content: "x".repeat(64 * 1024 + 1) } }),
  ],
  ["negative", (room) => JSON.stringify({ type: "history", room, since: -1 })],
  ["binary", () => new Uint8Array([0xff, 0xfe])],
]);

export class Person {
  /**
   * user      the name that it asks for
   * label     what it is called on the page: another one, if several have the same name
   * address   of the server
   * room      the room of the lesson
   * ledger    see judge.js
   * silence   likewise
   * now       gives the seconds since the lesson began
   * changed   is called whenever there is something new to show
   * found     is called with each breach of a rule: (person, frame, mark)
   */
  constructor({ user, label, address, room, ledger, silence, now, changed, found }) {
    Object.assign(this, { user, label, room, now, changed, found });
    this.address = new URL(address);
    this.address.searchParams.set("user", user);
    this.judge = new Judge({ room, ledger, silence });
    this.state = "closed"; // or "connecting", "open"
    this.ending = null; // how the last connection ended: {by: "us" or "server", code, at}
    this.isSilent = false;
    this.lastSign = -Infinity; // when we sent our last frame, in seconds; only what we sent ourselves counts
    this.lastGap = 0; // how long it was silent before that
    this.greeting = null; // what the server said of its intervals: {interval, timeout, isTold}
    this.frames = []; // the last ones: see `keep`
    this.dropped = 0; // how many were before them
    this.weight = 0; // characters in `frames`
    this.chat = []; // the last messages and notices
    this.numbers = []; // the last numbers: [{number, user, kind}]
    this.lastId = null; // of the last message that we sent
    this.lastContent = "";
    this.count = 0; // messages said
    this.waiting = new Map(); // id of a message that has not come back -> {content, at}
    this.lateSign = null; // the last sign of whom the others were told too late that it is offline
    this.socket = null;
  }

  get isMember() {
    return this.state === "open" && this.judge.isMember;
  }

  // What the person does.

  /** Connect, and enter the room. `since` is a number, or undefined to say nothing. */
  connect(since) {
    if (this.state !== "closed") return;
    this.state = "connecting";
    this.isSilent = false;
    this.socket = new WebSocket(this.address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = (event) => this.receive(event.data, since);
    this.socket.onclose = ({ code }) => this.ended("server", code);
    this.lastSign = this.now();
    this.changed();
  }

  /** End the connection without a `leave`. */
  cut() {
    if (this.state === "closed") return;
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.ended("us", 0);
  }

  ended(by, code) {
    this.state = "closed";
    this.socket = null;
    this.isSilent = false;
    this.ending = { by, code, at: this.now() };
    this.judge.leave(this.now());
    this.waiting.clear();
    this.changed();
  }

  /** Keep the connection open and answer nothing, until this is called with false. */
  beSilent(isSilent) {
    this.isSilent = isSilent;
    if (!isSilent) this.send({ type: "heartbeat" });
    this.changed();
  }

  join(since) {
    if (this.state !== "open") return;
    this.judge.join(since);
    this.send({ type: "join", room: this.room, since });
  }

  leave() {
    if (this.state !== "open") return;
    this.send({ type: "leave", room: this.room });
    this.judge.leave(this.now());
    this.waiting.clear();
  }

  say(content, id = `${this.label}-${freshId()}`) {
    if (this.state !== "open") return;
    this.lastId = id;
    this.lastContent = content;
    this.judge.say(id);
    if (this.isMember) this.waiting.set(id, { content, at: this.now() });
    this.send({ type: "message", data: { room: this.room, content, id } });
  }

  /** What is said if nothing was typed. */
  get nextContent() {
    return `${this.label} ${this.count + 1}`;
  }

  sayNext() {
    const content = this.nextContent;
    this.count += 1;
    this.say(content);
  }

  burst(count) {
    for (let each = 0; each < count; each += 1) this.sayNext();
  }

  /** Send one message twice, as somebody does who does not know whether the first one arrived. */
  sayTwice() {
    this.sayNext();
    this.sayAgain();
  }

  sayAgain() {
    if (this.lastId !== null) this.say(this.lastContent, this.lastId);
  }

  sendBad(kind) {
    if (this.state === "open") this.sendRaw(BAD_FRAMES.get(kind)(this.room));
  }

  // Frames.

  send(frame) {
    this.sendRaw(JSON.stringify(frame));
  }

  sendRaw(raw) {
    this.socket.send(raw);
    this.lastGap = this.now() - this.lastSign;
    this.lastSign = this.now();
    let frame = null;
    try {
      frame = JSON.parse(raw);
    } catch {
      // A bad one.
    }
    this.keep("out", raw, { type: frame?.type ?? null, data: frame, marks: [] });
  }

  receive(raw, since) {
    const read = this.judge.hear(raw, this.now());
    this.keep("in", raw, read);
    this.numbers.push(...read.numbers);
    this.numbers.splice(0, this.numbers.length - LIMITS.lessonNumbers);
    const { type, data } = read;
    if (type === "connected" && this.state === "connecting") this.welcome(raw, data, since);
    else if (type === "heartbeat" && !this.isSilent && this.socket.bufferedAmount < BACKLOG)
      this.send({ type });
    else if (type === "message" && data) this.talk([data]);
    else if (type === "history" && data) this.talk(data.messages);
    else if (type === "error" && data?.id) this.waiting.delete(data.id);
    else if (type === "error") this.waiting.clear(); // it may be about any of them
  }

  welcome(raw, { user, offlineTimeout }, since) {
    const interval = JSON.parse(raw).data?.heartbeatInterval;
    const isTold = interval > 0 && interval <= 24 * 3600;
    this.greeting = { interval: isTold ? interval : ASSUMED.interval, timeout: offlineTimeout, isTold };
    this.user = user ?? this.user;
    this.judge.user = this.user;
    this.judge.timeout = offlineTimeout;
    this.state = "open";
    this.join(since);
  }

  talk(messages) {
    for (const { user, id, content } of messages) if (user === this.user) this.cameBack(id, content);
    this.chat.push(...messages);
    this.chat.splice(0, this.chat.length - LIMITS.lessonChat);
  }

  /** A server may give a message an id of its own: then it is known by what it says. */
  cameBack(id, content) {
    if (this.waiting.delete(id)) return;
    for (const [each, waits] of this.waiting) if (waits.content === content) return this.waiting.delete(each);
  }

  /** Look for what should have happened by now. */
  check() {
    const late = [...this.waiting].filter(([, { at }]) => this.now() - at > PATIENCE);
    if (!late.length) return;
    for (const [id] of late) this.waiting.delete(id);
    const [, { content }] = late[0];
    this.remark({ ...breach("unanswered", { content, seconds: PATIENCE }), more: late.length - 1 });
  }

  /** Keep something that is remarkable, but of no frame. */
  remark(mark) {
    this.keep("none", "", { type: null, data: null, marks: [mark] });
  }

  keep(direction, raw, { type, data, marks }) {
    const isText = typeof raw === "string";
    const frame = {
      at: this.now(),
      direction,
      type: type?.slice(0, LIMITS.excerpt) ?? null,
      gist: gist(direction, type, data, isText ? raw : ""),
      raw: isText ? raw.slice(0, LIMITS.lessonFrame) : null, // null: it is binary
      length: isText ? raw.length : raw.byteLength,
      marks,
    };
    this.frames.push(frame);
    this.weight += frame.raw?.length ?? 0;
    if (this.frames.length > 1.1 * LIMITS.lessonFrames || this.weight > 1.1 * LIMITS.lessonText) this.trim();
    for (const mark of marks) if (mark.kind === "breach") this.found(this, frame, mark);
    this.changed();
  }

  /** Drop the oldest frames: many at once, since those that stay have to be moved. */
  trim() {
    let count = 0;
    while (this.frames.length - count > LIMITS.lessonFrames || this.weight > LIMITS.lessonText) {
      this.weight -= this.frames[count].raw?.length ?? 0;
      count += 1;
    }
    this.frames.splice(0, count);
    this.dropped += count;
  }
}

/** 64 random bits. (`crypto.randomUUID` is there for https and localhost only.) */
function freshId() {
  const bytes = crypto.getRandomValues(new Uint8Array(4));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
