"""Slots in a list. A slot whose member left is marked dead, and swept when nobody publishes."""

import logging

log = logging.getLogger("pubsub")


class _Slot:
    def __init__(self, member):
        self.member = member
        self.alive = True


class PubSub:
    MAX_DEAD = 8

    def __init__(self):
        self._slots: dict[str, list[_Slot]] = {}
        self._busy = 0

    def _find(self, room, member):
        for slot in self._slots.get(room, []):
            if slot.alive and slot.member is member:
                return slot
        return None

    def subscribe(self, room, member):
        if self._find(room, member) is None:
            self._slots.setdefault(room, []).append(_Slot(member))
            log.info("in %s", room)

    def unsubscribe(self, room, member):
        slot = self._find(room, member)
        if slot is None:
            return
        slot.alive = False
        self._sweep(room)

    def _sweep(self, room):
        if self._busy:
            return
        live = [s for s in self._slots.get(room, []) if s.alive]
        if live:
            self._slots[room] = live
        else:
            self._slots.pop(room, None)

    def publish(self, room, frame):
        self._busy += 1
        try:
            slots = self._slots.get(room, [])
            i = 0
            end = len(slots)  # who comes now does not hear it
            while i < end:
                if slots[i].alive:
                    slots[i].member.send(frame)
                i += 1
        finally:
            self._busy -= 1
        for each in list(self._slots):
            self._sweep(each)

    def members(self, room):
        return [s.member for s in self._slots.get(room, []) if s.alive]

    def rooms(self):
        return [r for r in self._slots if self.members(r)]
