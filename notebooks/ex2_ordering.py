# %% [markdown]
# # 2. One order for all
#
# Two people speak at the same moment. Who was first? Neither of them can tell, for neither had heard of the
# other: the two messages are **concurrent**. So somebody has to decide. Our server has a **sequencer**,
# which gives each message of a room a number, and everybody receives the messages in the order of these
# numbers. The name for that promise is **total order broadcast**.
#
# It is easy to give numbers in order. To *deliver* in that order is the exercise.

# %%
from harness.reports.charts import chart, delivery_times, numbers_by_arrival
from harness.reports.spacetime import spacetime
from stage import perform, say, settle, source, verdict

# %% [markdown]
# ## The scene, on a slow disk
#
# Each message must be saved before anybody receives it (rule D). Our fault is a disk that is slow now and
# then: **the third save takes a fifth of a second longer**. Alice and Bob say “one” and “two”, one after
# the other. Then Alice says “three”; and while that is being saved, Bob says “four”.


# %%
async def scene(world):
    red = world.name("red")
    alice, bob, carol = [await world.client(name) for name in ("alice", "bob", "carol")]
    for person in (alice, bob, carol):
        await person.join(red)
    await settle(alice, bob, carol)

    await say(alice, red, "one")
    await settle(alice, bob, carol)
    await say(bob, red, "two")
    await settle(alice, bob, carol)

    await say(alice, red, "three")  # its save is slow
    await bob.fence()  # the server has “three” by now
    await say(bob, red, "four")
    await settle(alice, bob, carol)


# %% [markdown]
# **Predict first.** “four” could be saved at once, while the disk is still busy with “three”. Will Carol
# receive it before “three”, or must it wait?

# %%
right = await perform(scene, store="slow_disk.py")
spacetime(right, "The reference sequencer on a slow disk", show=("message",))

# %% [markdown]
# <details><summary>Answer</summary>
#
# It waits. The sequencer serves the room's line one after the other: number, save, publish. Bob pays for
# Alice's slow save. That is the price of one order, and it is called *head-of-line blocking*.
#
# Note also what the diagram does not claim: Alice and Bob said “three” and “four” without having heard of
# each other's. No arrow leads from one to the other; the order between them was made by the server.
# </details>
#
# The same by numbers: for each member, what came first, second, and so on.

# %%
numbers_by_arrival(right, "red", "The reference sequencer")

# %% [markdown]
# ## One defect
#
# This sequencer never gives a number twice. But look at where it waits:

# %%
source("defects/sequencer.py", "accept")

# %% [markdown]
# **Predict again.** Same scene, same disk. In which order does Carol receive the four messages, and which
# numbers do they have?

# %%
wrong = await perform(scene, store="slow_disk.py", sequencer="defects/sequencer.py")
spacetime(wrong, "An await between number and publishing", show=("message",))

# %%
numbers_by_arrival(wrong, "red", "An await between number and publishing")

# %% [markdown]
# <details><summary>What to notice</summary>
#
# “four” has number 4 and comes before number 3. At `await self._store.save(…)` the other session goes on,
# and its save is the faster one. The numbers are right, and the order in which they are published is not.
#
# It is worse than an ugly screen: if Carol's connection breaks now, she asks for everything after the
# newest number that she has seen, which is 4. She never gets number 3.
#
# And no test with one message at a time would have shown it: it takes two in flight.
# </details>
#
# The kit's own check, on the same slow disk:

# %%
await verdict(2, "reorder", "sequencer", store="slow_disk.py", sequencer="defects/sequencer.py")

# %% [markdown]
# ## What order costs
#
# The slowest delivery of each message, in milliseconds. In the right server number 4 waits for number 3.
# Measured, so yours will differ.

# %% tags=["measured"]
series = {
    name: [(number, 1000 * max(taken)) for number, taken in delivery_times(history).items()]
    for name, history in (("reference", right), ("defect", wrong))
}
chart(series, "From sender to the last member", "message number", "milliseconds")

# %% [markdown]
# Now it is your turn: [exercise 2](../exercises/ex2_ordering/README.md).
