"""Plays one exercise in a world and judges it: in this process, in another one, or in forked processes."""
