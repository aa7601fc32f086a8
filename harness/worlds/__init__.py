"""Where a scenario is played: the live world, with real processes and sockets, or the simulated one."""
