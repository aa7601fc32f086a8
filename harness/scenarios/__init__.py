"""What is done: one scenario for each exercise.

A scenario has three parts. `plan(rng, size)` decides, as plain data, what will be done; `play(plan, world)`
does it, and leaves its traces in the world's history; `check(plan, log)` says which checkers belong to
which step, and what proves that the step was put to the test.
"""
