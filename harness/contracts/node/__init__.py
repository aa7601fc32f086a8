"""Components in TypeScript, called directly: the same plans and models as for Python, in a Node process.

`host.mjs` runs the compiled component, and Python's stand-ins (`classes.py`) look like one to a contract.
The two processes take turns (`channel.py`): Node works until nothing is left to do in this moment, then
Python does. So time is the simulation's here as well: timers, `Date`, files and randomness of the component
come from it.
"""
