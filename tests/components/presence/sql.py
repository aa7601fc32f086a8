"""Tables in memory, and SQL for the rest."""

import sqlite3

from lab.interfaces import Change
from lab.protocol import Presence, Status


class PresenceManager:
    def __init__(self, heartbeat_interval, offline_timeout):
        self.offline_timeout = offline_timeout
        self.db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.db.executescript("""
            create table conn (name text primary key, user text not null, at real not null);
            create table stay (name text, room text, primary key (name, room));
        """)

    def _online(self):
        rows = self.db.execute(
            "select room, user, max(at) from stay join conn using (name) group by room, user"
        )
        return {(room, user): int(at * 1000) for room, user, at in rows}

    def _run(self, sql, *args):
        before = self._online()
        self.db.execute(sql, args)
        self.db.execute("delete from stay where name not in (select name from conn)")
        after = self._online()
        return [
            Change(r, Presence(u, Status.OFFLINE, t)) for (r, u), t in before.items() if (r, u) not in after
        ] + [Change(r, Presence(u, Status.ONLINE, t)) for (r, u), t in after.items() if (r, u) not in before]

    def connected(self, connection, user, now):
        return self._run("insert or replace into conn values (?, ?, ?)", connection, user, now)

    def seen(self, connection, now):
        return self._run("update conn set at = ? where name = ?", now, connection)

    def joined(self, connection, room, now):
        return self._run(
            "insert or ignore into stay select name, ? from conn where name = ?", room, connection
        )

    def left(self, connection, room, now):
        return self._run("delete from stay where room = ? and name = ?", room, connection)

    def lost(self, connection, now):
        return self._run("delete from conn where name = ?", connection)

    def sweep(self, now):
        return self._run("delete from conn where ? - at > ?", now, self.offline_timeout)

    def in_room(self, room, now):
        return [Presence(u, Status.ONLINE, t) for (r, u), t in self._online().items() if r == room]

    def is_connected(self, connection):
        return self.db.execute("select 1 from conn where name = ?", (connection,)).fetchone() is not None
