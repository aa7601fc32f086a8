"""Exercise 2: one order for all. Which number does a message get, and who receives it when?

Correct `accept` and `attach`. README.md in this folder says what they must do, and `chatlab check 2` tests
whether they do it. The model answer has about 45 lines.
"""

import time
import uuid

from lab.interfaces import Draft, Member, MessageStore, PubSub
from lab.protocol import History, Message


class Sequencer:
    """Numbers a room's messages, saves them, and publishes them in order."""

    def __init__(self, store: MessageStore, pubsub: PubSub) -> None:
        self._store = store
        self._pubsub = pubsub

    async def accept(self, draft: Draft) -> Message:
        """Number the draft, save it, then publish it in its room, and return the message.

        If the save fails, raise: nothing is published, and the number is free again. In this stub, every
        message has number 1, nothing is saved, and a repeated `id` is not detected.
        """
        message = Message(
            id=draft.id or uuid.uuid4().hex,
            room=draft.room,
            user=draft.user,
            content=draft.content,
            sequence=1,
            timestamp=int(time.time() * 1000),
        )
        self._pubsub.publish(draft.room, message)
        return message

    async def attach(self, room: str, member: Member, since: int | None) -> None:
        """Send `member` the messages that it missed, then subscribe it, without a gap and without duplicates.

        In this stub, no missed message is sent.
        """
        self._pubsub.subscribe(room, member)

    async def history(self, room: str, since: int, limit: int) -> History:
        """One page of the stored messages of `room` after `since`. This method is complete."""
        messages = await self._store.page(room, since, limit)
        last = await self._store.last(room)
        more = bool(messages) and messages[-1].sequence < last
        return History(room, messages, last, more)
