# %% [markdown]
# # 3. Who is here?
#
# A machine that lost its network sends nothing, not even a farewell. A machine that is merely quiet sends
# nothing either. From outside, *dead* and *slow* look alike. All that one can do is to guess, and the part
# that guesses is called a **failure detector**. Ours asks for a sign of life now and then (a
# **heartbeat**), and takes whoever was silent for a **timeout** to be gone.
#
# Two things are wanted of it (Chandra and Toueg, 1996): that it is *complete*, so that the dead are found
# out some day, and that it is *accurate*, so that the living are left in peace.

# %%
from harness.history.faults import GO_SILENT
from harness.reports.charts import presence_timeline
from harness.reports.spacetime import spacetime
from stage import perform, settle, source, verdict

# %% [markdown]
# ## The scene
#
# Alice watches a room. **Rhea's connection is reset**: her machine is told so, and the server's as well.
# **Vera goes silent**: her socket stays open, and nothing comes from it any more. Here a heartbeat is sent
# twice a second, and the timeout is three heartbeats.

# %%
BEATS = 6


async def scene(world):
    room = world.name("lobby")
    alice, rhea, vera = [await world.client(name) for name in ("alice", "rhea", "vera")]
    for person in (alice, rhea, vera):
        await person.join(room)
        await settle(alice, rhea, vera)

    await rhea.reset()
    await settle(alice, vera)

    await vera.send_heartbeat()  # her last sign of life
    vera.suffer(GO_SILENT)
    until = world.now() + BEATS * world.heartbeat
    await world.until(lambda: world.now() < until, patience=2 * BEATS * world.heartbeat)
    await alice.ask_presence(room)


# %% [markdown]
# **Predict first.** When will Alice be shown that Rhea is offline: at once, after the timeout, or never?
# And Vera?

# %%
right = await perform(scene)
presence_timeline(right, "alice", "lobby", ("alice", "rhea", "vera"), BEATS, "The reference server")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Rhea at once: a reset is news. Vera only after the timeout, for nothing *happens* when a client goes silent;
# what the server notices is that something does *not* happen. The reference shows her as away on the way
# there. A shorter timeout would find her sooner, and would sometimes declare somebody dead who was just
# slow.
# </details>
#
# The same as a space-time diagram. No arrow leads from Vera to the server before she is declared offline:
# it is the absence of arrows that is judged.

# %%
spacetime(right, "The reference server", show=("join", "presence"))

# %% [markdown]
# ## One defect
#
# The server sends heartbeats. This manager reasons: “we could send it one, and there was no error, so it is
# here”.

# %%
source("defects/presence.py", "sweep")

# %% [markdown]
# **Predict again.** What becomes of Rhea, and what of Vera?

# %%
wrong = await perform(scene, presence="defects/presence.py")
presence_timeline(
    wrong, "alice", "lobby", ("alice", "rhea", "vera"), BEATS, "The server's own heartbeat counts as life"
)

# %%
spacetime(wrong, "The server's own heartbeat counts as life", show=("join", "presence"))

# %% [markdown]
# <details><summary>What to notice</summary>
#
# Rhea is found out as before, because her reset is an event. Vera stays for ever, a **zombie**: to *send*
# succeeds as long as the system's buffers take it, and says nothing about the other side. This detector is
# accurate (it never suspects the living), and not complete. Only what comes *from* a client shows that the
# client lives.
# </details>
#
# The kit's own check:

# %%
await verdict(3, "zombie_presence", "presence", presence="defects/presence.py")

# %% [markdown]
# Now it is your turn: [exercise 3](../exercises/ex3_presence/README.md).
