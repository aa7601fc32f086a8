"""Several nodes of the chat server that share their rooms over NATS JetStream.

A room is a *replicated log*. All that happens in it is appended to a stream, which JetStream keeps on several
machines by Raft: an append is answered when a majority has it on disk. Each node follows the streams of the
rooms that its clients are in, and hands on to its clients what is appended, in the order of the stream. So
all nodes tell the same story, whatever the network does to any of them.

    names.py      what things are called in NATS
    log.py        one stream: append, read, follow
    link.py       the connection to NATS, and the streams
    sequencer.py  one order for all (exercise 2) over a log
    presence.py   who is here (exercise 3), on all nodes
    node.py       the parts wired together, as `lab.hub` asks for them

A node has no state that it could lose: kill it, and its clients go on at another one.
"""
