"""The scenarios, one for each exercise.

A scenario has three parts. `plan(rng, size)` decides, as plain data, what will be done; `play(plan, world)`
does it, which writes the world's history; `check(plan, index)` applies to each step the checkers that belong
to it, and states what proves that the step was really tested.
"""
