// All functions that wait, in the constructor and in each method; a file for each room.

import { createHash } from "crypto";
import fs, { constants } from "fs";
import path from "path";
import { isDeepStrictEqual } from "util";

import * as types from "./types.js";

const { O_APPEND, O_CREAT, O_RDWR } = constants;

class RoomFile {
  readonly messages: types.Message[] = [];
  private fd: number;
  private size = 0;

  constructor(readonly name: string) {
    this.fd = fs.openSync(name, O_APPEND | O_CREAT | O_RDWR, 0o600);
    const text = fs.readFileSync(name, { encoding: "utf8" });
    const end = text.lastIndexOf("\n") + 1;
    for (const line of text.slice(0, end).split("\n").filter(Boolean)) this.messages.push(JSON.parse(line));
    this.size = Buffer.byteLength(text.slice(0, end));
    fs.ftruncateSync(this.fd, this.size);
  }

  add(messages: types.Message[]): void {
    const bytes = Buffer.from(messages.map((message) => JSON.stringify(message) + "\n").join(""), "utf8");
    try {
      for (let at = 0; at < bytes.length; ) at += fs.writeSync(this.fd, bytes, at, bytes.length - at);
      fs.fsyncSync(this.fd);
    } catch (error) {
      fs.ftruncateSync(this.fd, this.size);
      throw new types.StoreError(`${error}`, { cause: error });
    }
    this.size += bytes.length;
    this.messages.push(...messages);
  }

  close(): void {
    fs.closeSync(this.fd);
  }
}

export class MessageStore implements types.MessageStore {
  private readonly rooms: Record<string, RoomFile> = {};

  constructor(private readonly dataDir: string) {
    fs.mkdirSync(dataDir, { recursive: true, mode: 0o755 });
    for (const entry of fs.readdirSync(dataDir)) {
      if (!entry.endsWith(".jsonl")) continue;
      const file = new RoomFile(path.resolve(dataDir, entry));
      this.rooms[path.basename(entry, ".jsonl")] = file;
    }
    const note = path.join(dataDir, "README");
    if (!fs.existsSync(note)) fs.appendFileSync(note, "messages of a chat\n", { flush: true } as fs.WriteFileOptions);
  }

  async save(messages: readonly types.Message[]): Promise<void> {
    const rooms = new Set(messages.map(({ room }) => room));
    for (const room of rooms) {
      const name = this.key(room);
      if (!this.rooms[name]) {
        this.rooms[name] = new RoomFile(path.join(this.dataDir, `${name}.jsonl`));
        const folder = fs.openSync(this.dataDir, "r");
        fs.fsyncSync(folder);
        fs.closeSync(folder);
      }
      this.rooms[name].add(messages.filter((message) => isDeepStrictEqual(message.room, room)));
    }
  }

  async page(room: string, since: number, limit: number): Promise<types.Message[]> {
    return this.of(room).filter((message) => message.sequence > since).slice(0, limit);
  }

  async newest(room: string, count: number): Promise<types.Message[]> {
    const all = this.of(room);
    return all.slice(Math.max(all.length - count, 0));
  }

  last(room: string): Promise<number> {
    return Promise.resolve(this.of(room).at(-1)?.sequence ?? 0);
  }

  async find(room: string, user: string, id: string) {
    return this.of(room).find((message) => message.user === user && message.id === id);
  }

  close(): undefined {
    Object.values(this.rooms).forEach((file) => file.close());
  }

  private key(room: string): string {
    return createHash("md5").update(room).digest("base64url");
  }

  private of(room: string): readonly types.Message[] {
    return this.rooms[this.key(room)]?.messages ?? [];
  }
}
