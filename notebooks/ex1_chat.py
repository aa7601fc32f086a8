# %% [markdown]
# # 1. Who hears what
#
# A chat server is a **publish/subscribe** system: clients *subscribe* to rooms, and what is *published* in
# a room goes to its subscribers, once to each, and to nobody else. (PROTOCOL.md calls these the rules O and
# I.)
#
# Below, a real server is started, and simulated people play a scene on it. We look at what happened in a
# **space-time diagram**, as Lamport drew them in 1978: a line for each process, an arrow for each message.
# Time runs down. It is *logical*: an event stands below everything that can have caused it.

# %%
from harness.reports.charts import chart, delivery_times
from harness.reports.spacetime import spacetime
from stage import perform, say, settle, source, verdict

# %% [markdown]
# ## The scene
#
# Alice and Bob are in the room *red*, Carol is in *blue*. Bob is impatient and **joins red a second time**.
# Then he leaves it, and Carol loses her connection.


# %%
async def scene(world):
    red, blue = world.name("red"), world.name("blue")
    alice, bob, carol = [await world.client(name) for name in ("alice", "bob", "carol")]
    everybody = (alice, bob, carol)
    for person, room in ((alice, red), (bob, red), (carol, blue), (bob, red)):
        await person.join(room)
        await settle(*everybody)

    await say(alice, red, "hello")
    await settle(*everybody)
    await bob.leave(red)
    await settle(*everybody)
    await say(alice, red, "bye, Bob")
    await settle(*everybody)

    await carol.reset()  # the network drops her
    await settle(*everybody)
    await say(alice, red, "alone?")
    await settle(*everybody)


# %% [markdown]
# **Predict first.** Alice says three things. How many messages does Bob receive, and how many does Carol?
# Who is told that Bob left, and who is told that Carol is gone?

# %%
right = await perform(scene)
spacetime(right, "The reference server", show=("join", "message", "notice"))

# %% [markdown]
# <details><summary>Answer</summary>
#
# Bob receives one message, “hello”, and only once: to join twice is the same as to join once. After he left
# he hears nothing more of *red*. Carol receives none, for she is in another room. Alice is told that Bob
# left. Nobody is told of Carol, since nobody else is in *blue*.
#
# Alice hears her own messages as well. That is how she learns their numbers, and that they were accepted.
# </details>

# %% [markdown]
# ## One defect
#
# This `subscribe` puts the member on the list, and does not ask whether it is there already:

# %%
source("defects/pubsub.py", "subscribe")
source("defects/pubsub.py", "unsubscribe")

# %% [markdown]
# **Predict again.** What will Bob receive now? Look at `unsubscribe`, too: there is a second consequence.

# %%
wrong = await perform(scene, pubsub="defects/pubsub.py")
spacetime(wrong, "Who joins twice is on the list twice", show=("join", "message", "notice"))

# %% [markdown]
# <details><summary>What to notice</summary>
#
# Bob hears “hello” **again**: the same number comes twice. And he still hears “bye, Bob” after he left,
# because `list.remove` takes away one of two entries. One missing question, and two promises are broken, of
# which the second one also breaches somebody's privacy. Adding to a *set* is **idempotent** (twice is the
# same as once); adding to a list is not. In a network that may repeat things, that is worth a lot.
# </details>
#
# The kit's own check finds it as well:

# %%
await verdict(1, "duplicate", "pubsub", pubsub="defects/pubsub.py")

# %% [markdown]
# ## How long does it take?
#
# The diagrams do not tell, and that is on purpose: what *caused* what does not depend on clocks. Here are
# the times that were measured in the first scene, from Alice's `message` until each member had it. They
# differ from run to run, so your figures will not be these.

# %% tags=["measured"]
times = delivery_times(right)
milliseconds = {"slowest": [(number, 1000 * max(taken)) for number, taken in times.items()]}
chart(milliseconds, "From sender to member", "message number", "milliseconds")

# %% [markdown]
# Now it is your turn: [exercise 1](../exercises/ex1_chat/README.md).
