// Derived from an abstract class in a file of its own; what leaves meanwhile hears nothing any more.

import { Kept, Registry } from "./registry.js";
import type { Member, PubSub as Contract, ServerFrame } from "./types.js";

namespace Words {
  export const GREETING = "hello";
  export const isSpoken = (frame: ServerFrame): boolean => frame.type === "message";
}

class Rooms extends Registry<Member> implements Contract {
  private spoken = 0;

  constructor() {
    super(Kept.Never);
  }

  protected override accepts(member: Member): boolean {
    return typeof member.send === "function" && Words.GREETING.length > 0;
  }

  subscribe(room: string, member: Member): void {
    super.add(room, member);
  }

  unsubscribe(room: string, member: Member): void {
    super.remove(room, member);
  }

  publish(room: string, frame: ServerFrame): void {
    const heard = new Set<Member>();
    for (const member of [...this.under(room)]) {
      if (!this.tables.get(room)?.has(this.id(member)) || heard.has(member)) continue;
      heard.add(member);
      member.send(frame);
    }
    if (Words.isSpoken(frame)) this.spoken += 1;
  }

  members(room: string): Member[] {
    return [...this.under(room)];
  }

  rooms(): string[] {
    return [...this.names];
  }

  get total(): number {
    return this.spoken;
  }
}

export { Rooms as PubSub };
export default Rooms;
