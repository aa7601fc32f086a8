"""What a component must do, tested by calling its class directly, without a server.

As everywhere in the harness: a *plan* is data, drawn from a seed; it is *played* on a fresh instance of the
component, with test doubles as its neighbours, which answer after random delays and in any order; what it did
is *checked* against a small model. Plans grow, so that the first one that fails is small.
"""
