// Records of bytes with a checksum, by callbacks and `promisify`, at positions of its own; positions are kept, not texts.

import fs, { close, fdatasync, ftruncate, open, read, write } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import zlib from "node:zlib";

import { StoreError, type Message, type MessageStore as Contract } from "./types.js";

const [closing, syncing, cutting, opening] = [promisify(close), promisify(fdatasync), promisify(ftruncate), promisify(open)];
const [reading, writing] = [promisify(read), promisify(write)];
const [packed, unpacked] = [promisify(zlib.deflateRaw), promisify(zlib.inflateRaw)];
const HEAD = 8;

const TABLE = Uint32Array.from({ length: 256 }, (_, each) => {
  for (let bit = 0; bit < 8; bit++) each = each & 1 ? (each >>> 1) ^ 0xedb88320 : each >>> 1;
  return each;
});

function crc(bytes: Uint8Array): number {
  let sum = -1;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255]! ^ (sum >>> 8);
  return (sum ^ -1) >>> 0;
}

type Place = Pick<Message, "room" | "user" | "id" | "sequence"> & { at: number; size: number };

export class MessageStore implements Contract {
  #places: Place[] = [];
  #end = 0;
  #file!: number;
  #opened: Promise<void>;
  #tail: Promise<void>;

  constructor(dataDir: string) {
    this.#opened = new Promise((resolve, reject) => {
      fs.mkdir(dataDir, { recursive: true }, (error) => (error ? reject(error) : this.#open(join(dataDir, "records")).then(resolve, reject)));
    });
    this.#tail = this.#opened.catch(() => {});
  }

  save(messages: readonly Message[]): Promise<void> {
    const done = this.#tail.then(() => this.#save(messages));
    this.#tail = done.catch(() => {});
    return done;
  }

  async page(room: string, since: number, limit: number): Promise<Message[]> {
    return this.#all((await this.#of(room)).filter(({ sequence }) => sequence > since).slice(0, limit));
  }

  async newest(room: string, count: number): Promise<Message[]> {
    return this.#all((await this.#of(room)).slice(-count));
  }

  async last(room: string): Promise<number> {
    return (await this.#of(room)).at(-1)?.sequence ?? 0;
  }

  async find(room: string, user: string, id: string): Promise<Message | undefined> {
    const place = (await this.#of(room)).find((each) => each.user === user && each.id === id);
    return place && (await this.#at(place));
  }

  close(): Promise<void> {
    return this.#tail.then(() => closing(this.#file));
  }

  async #open(name: string): Promise<void> {
    this.#file = await opening(name, fs.constants.O_RDWR | fs.constants.O_CREAT);
    const head = Buffer.alloc(HEAD);
    for (;;) {
      const { bytesRead } = await reading(this.#file, head, 0, HEAD, this.#end);
      if (bytesRead < HEAD) break;
      const [size, sum] = [head.readUInt32BE(0), head.readUInt32BE(4)];
      const body = Buffer.alloc(size);
      const got = await reading(this.#file, { buffer: body, position: this.#end + HEAD } as never);
      if (got.bytesRead < size || crc(body) !== sum) break;
      this.#remember(JSON.parse((await unpacked(body)).toString()), this.#end + HEAD, size);
      this.#end += HEAD + size;
    }
    await cutting(this.#file, this.#end);
  }

  async #save(messages: readonly Message[]): Promise<void> {
    await this.#opened;
    const bodies = await Promise.all(messages.map((message) => packed(JSON.stringify(message))));
    const records = bodies.map((body) => {
      const head = new DataView(new ArrayBuffer(HEAD));
      head.setUint32(0, body.length);
      head.setUint32(4, crc(body));
      return Buffer.concat([new Uint8Array(head.buffer), body]);
    });
    const bytes = Buffer.concat(records);
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await writing(this.#file, bytes, at, bytes.length - at, this.#end + at);
      if (bytesWritten === 0) throw new StoreError("nothing was written");
      at += bytesWritten;
    }
    await syncing(this.#file);
    messages.forEach((message, at) => {
      this.#remember(message, this.#end + HEAD, bodies[at]!.length);
      this.#end += records[at]!.length;
    });
  }

  #remember({ room, user, id, sequence }: Message, at: number, size: number): void {
    this.#places.push({ room, user, id, sequence, at, size });
  }

  async #of(room: string): Promise<Place[]> {
    await this.#opened;
    return this.#places.filter((place) => place.room === room);
  }

  #all(places: Place[]): Promise<Message[]> {
    return Promise.all(places.map((place) => this.#at(place)));
  }

  #at({ at, size }: Place): Promise<Message> {
    return new Promise((resolve, reject) => {
      fs.read(this.#file, Buffer.alloc(size), 0, size, at, (error, _, body) => {
        if (error) return reject(error);
        zlib.inflateRaw(body, (wrong, text) => (wrong ? reject(wrong) : resolve(JSON.parse(text.toString("utf8")))));
      });
    });
  }
}
