"""How long things take in the simulated world: delays on the network and on the disk, all from one seed."""

from __future__ import annotations

from math import exp
from random import Random

from msgspec import Struct


class Latency(Struct, frozen=True):
    """A distribution of delays in seconds: log-normal around a median, with a hiccup now and then.

    That delays on the Internet look like this is an old observation (Bovy et al., PAM 2002).
    """

    median: float
    spread: float
    """The standard deviation of the delay's logarithm."""
    hiccups: float = 0.0
    """The share of delays to which `hiccup` seconds are added."""
    hiccup: float = 0.0

    def draw(self, rng: Random) -> float:
        """One delay."""
        delay = self.median * exp(rng.gauss(0.0, self.spread))
        if self.hiccups and rng.random() < self.hiccups:
            delay += self.hiccup * rng.random()
        return delay


CABLE = Latency(0.0003, 0.4)
HOUSE = Latency(0.004, 0.6, hiccups=0.01, hiccup=0.1)
MOBILE = Latency(0.04, 0.7, hiccups=0.03, hiccup=0.4)
CAMPUS = (CABLE,)
EVERYWHERE = (CABLE, CABLE, CABLE, HOUSE, HOUSE, MOBILE)
PLACES = (CAMPUS, CAMPUS, CAMPUS, CAMPUS, EVERYWHERE)
"""Where the clients of a run are, and how often each network occurs there. Most races need clients that are
near, so that what they send arrives within a few accesses to the disk."""

# Disks are slow here, next to the network: then much waits for them at once, and that is where orders differ.
QUICK_DISK = Latency(0.0005, 0.6)
BUSY_DISK = Latency(0.001, 0.6, hiccups=0.003, hiccup=0.05)
SLOW_DISK = Latency(0.002, 0.4)
DISKS = (QUICK_DISK, BUSY_DISK, SLOW_DISK)


class LatencyModel:
    """What a run is like: one kind of disk, one place, and a kind of network for each connection."""

    def __init__(self, rng: Random, networks: tuple[Latency, ...] | None = None) -> None:
        self._networks = networks or rng.choice(PLACES)
        self._disk = rng.choice(DISKS)
        self._rng = rng
        self._disk_rng = Random(rng.random())

    def link(self) -> tuple[Latency, Random]:
        """The network below a new connection, and its source of random numbers."""
        return self._rng.choice(self._networks), Random(self._rng.random())

    def disk(self) -> float:
        """Seconds that a piece of work in another thread takes, or waits before it begins."""
        return self._disk.draw(self._disk_rng)
