// An EventEmitter for each room, with a listener for each member.

import { EventEmitter } from "events";

import type * as types from "./types.js";

type Listener = (frame: types.ServerFrame) => void;

export class PubSub implements types.PubSub {
  #emitters: Record<string, EventEmitter> = Object.create(null);
  #listeners = new WeakMap<types.Member, Listener>();
  #members = new WeakMap<Listener, types.Member>();

  subscribe(room: string, member: types.Member): void {
    const emitter = (this.#emitters[room] ??= new EventEmitter().setMaxListeners(0));
    const listener = this.#listener(member);
    if (!emitter.listeners("frame").includes(listener)) emitter.on("frame", listener);
  }

  unsubscribe(room: string, member: types.Member): void {
    this.#emitters[room]?.off("frame", this.#listener(member));
    if (this.#emitters[room]?.listenerCount("frame") === 0) delete this.#emitters[room];
  }

  publish(room: string, frame: types.ServerFrame): void {
    this.#emitters[room]?.emit("frame", frame);
  }

  members(room: string): types.Member[] {
    const listeners = (this.#emitters[room]?.listeners("frame") ?? []) as Listener[];
    return listeners.flatMap((listener) => this.#members.get(listener) ?? []);
  }

  rooms(): string[] {
    return Object.keys(this.#emitters);
  }

  #listener(member: types.Member): Listener {
    let listener = this.#listeners.get(member);
    if (!listener) {
      listener = member.send.bind(member);
      this.#listeners.set(member, listener);
      this.#members.set(listener, member);
    }
    return listener;
  }
}
