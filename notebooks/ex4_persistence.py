# %% [markdown]
# # 4. What survives
#
# A server dies. Not in good order, but between two instructions: that is what SIGKILL does, and a kernel
# that runs out of memory. What was only in its memory is gone.
#
# **Durability** is a promise about that moment: *whatever somebody has received is still there afterwards*.
# The way to keep it is to **write ahead**: first store, then show. Databases call the file a *write-ahead
# log*.

# %%
from harness.reports.charts import numbers_by_arrival
from harness.reports.spacetime import spacetime
from stage import perform, say, settle, source, verdict

# %% [markdown]
# ## The scene
#
# Alice and Bob say three things. **The server is killed**, and started again on the same data. Both come
# back and ask for what they missed. Alice did not note whether “three” was accepted, so she **says it again
# under its id**, as good clients do. Then Bob says “four”, and Carol comes and reads from the start.


# %%
async def scene(world):
    red = world.name("red")
    alice, bob = [await world.client(name) for name in ("alice", "bob")]
    for person in (alice, bob):
        await person.join(red)
        await settle(alice, bob)

    three = f"{world.tag()}. three"
    await say(alice, red, "one")
    await settle(alice, bob)
    await say(bob, red, "two")
    await settle(alice, bob)
    await alice.say(red, three, id="alice-3")
    await settle(alice, bob)

    await world.kill_server()
    await world.start_server()
    for person in (alice, bob):
        await person.connect()
        await person.join(red, since=person.newest[red])
        await settle(alice, bob)

    await alice.say(red, three, id="alice-3")
    await settle(alice, bob)
    await say(bob, red, "four")
    await settle(alice, bob)

    carol = await world.client("carol")
    await carol.join(red, since=0)
    await settle(alice, bob, carol)


# %% [markdown]
# **Predict first.** Which number does Bob's “four” get? Who hears “three” a second time? What does Carol
# read?

# %%
right = await perform(scene)
spacetime(right, "The reference server", show=("join", "message", "replay"))

# %% [markdown]
# <details><summary>Answer</summary>
#
# “four” gets number 4: the counter goes on from what is stored. Alice alone hears “three” once more, with
# its old number 3: the server knows the id, stores nothing, and just tells her (rule R). With an id, to
# send twice is the same as to send once, so a client that is in doubt may always send again. Carol reads 1
# to 4.
# </details>

# %%
numbers_by_arrival(right, "red", "The reference server")

# %% [markdown]
# ## One defect
#
# This store keeps messages in lists. It writes them to a file in good order, when the server stops:

# %%
source("defects/store.py", "save")
source("defects/store.py", "close")

# %% [markdown]
# **Predict again.** A restart by SIGTERM would go well. What happens after SIGKILL? Which numbers will
# there be?

# %%
wrong = await perform(scene, store="defects/store.py")
spacetime(wrong, "Messages are kept in memory", show=("join", "message", "replay"))

# %%
numbers_by_arrival(wrong, "red", "Messages are kept in memory")

# %% [markdown]
# <details><summary>What to notice</summary>
#
# Carol never learns that “one” and “two” were said; Alice and Bob remember them. The retry of “three” is
# taken for something new. And the numbers begin again: there are now two messages with number 1. Whoever
# asks for everything after number 3 gets nothing for a while, although people talk.
#
# The store did nothing wrong that a test without a kill could see.
# </details>
#
# The kit's own check kills the server in the middle of a burst, when messages are under way:

# %%
await verdict(4, "lost_after_crash", "store", store="defects/store.py")

# %% [markdown]
# What it cannot show: SIGKILL does not lose what the operating system holds in its cache. Against a power
# cut only `fsync` helps, and to test that, one has to pull the plug.
#
# Now it is your turn: [exercise 4](../exercises/ex4_persistence/README.md).
