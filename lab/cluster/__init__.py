"""Several nodes of the chat server that share their rooms over NATS JetStream.

A room is a *replicated log*. All that happens in it is appended to a stream, which JetStream keeps on several
machines by Raft: an append is answered when a majority has it on disk. Each node follows the streams of the
rooms that its clients are in, and hands on to its clients what is appended, in the order of the stream. So
all nodes tell the same story, whatever the network does to any of them.

    names.py      what things are called in NATS
    wire.py       the connection to NATS, and questions over it
    log.py        one stream: append, and read
    feed.py       one stream: follow it
    link.py       all streams
    room.py       what a node knows of a room
    writer.py     appends what waits
    sequencer.py  one order for all (exercise 2) over a log
    outbox.py     what is still to be said of users
    presence.py   who is here (exercise 3), on all nodes
    node.py       the parts wired together, as `lab.hub` asks for them
    deploy/       what NATS and the balancer are told in docker-compose.yml

A node has no state that it could lose: kill it, and its clients go on at another one.
"""
