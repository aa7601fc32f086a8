"""The simulated world: the same scenarios, clients and checkers, in virtual time and from one seed."""
