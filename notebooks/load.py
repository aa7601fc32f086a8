# %% [markdown]
# # Load: how latency grows with the room
#
# A message in a room of *n* members is delivered *n* times. This **fan-out** is the cost of a chat: twice
# the members, twice the work for each message. **Latency** is the time from when somebody speaks until a
# member hears it. We look at its *percentiles*: half of the deliveries are as fast as p50 or faster, and 99
# of 100 as fast as p99. An average would hide the few who wait long, and they are the ones who complain.

# %%
from harness.reports.charts import chart, delivery_times, percentile
from stage import perform, say, settle, source

# %% [markdown]
# ## The scene
#
# One person speaks, and waits each time until everybody has heard it. So nothing queues up, and what we
# measure is the fan-out of a single message. The clients are simulated in this notebook's own process,
# which takes its part of the time too.

# %%
MEMBERS = (2, 10, 20, 40)
MESSAGES = 20


def crowd(members):
    async def scene(world):
        room = world.name("hall")
        people = [await world.client(f"member{number}") for number in range(members)]
        for person in people:
            await person.join(room)
        for number in range(MESSAGES):
            await say(people[0], room, f"message {number}")
            await settle(people[0], people[-1])
        await settle(*people)

    return scene


async def measure(**components):
    return {members: delivery_times(await perform(crowd(members), **components)) for members in MEMBERS}


# %% [markdown]
# **Predict first.** How many deliveries do 20 messages in a room of 40 members make? And is p99 with 40
# members twenty times as long as with 2?

# %%
right = await measure()
for members, times in right.items():
    print(f"{members:3} members: {sum(map(len, times.values())):5} deliveries of {len(times)} messages")


# %% tags=["measured"]
def line(found, share):
    return [
        (members, 1000 * percentile([each for taken in times.values() for each in taken], share))
        for members, times in found.items()
    ]


chart({"p50": line(right, 0.5), "p99": line(right, 0.99)}, "The reference server", "members", "milliseconds")

# %% [markdown]
# <details><summary>Answer</summary>
#
# 800 deliveries. The time grows with the room, but there is a part that stays the same: to wake up, to
# save, to number. The server makes the bytes of a frame once for all members and hands them to the system
# without waiting for anybody.
# </details>
#
# ## One defect
#
# This pubsub keeps every promise of exercise 1. But for each member it does something that blocks:

# %%
source("defects/blocking_pubsub.py", "publish")

# %% [markdown]
# **Predict again.** One millisecond is not much. How long does the last of 40 members wait?

# %%
wrong = await measure(pubsub="defects/blocking_pubsub.py")
for members, times in wrong.items():
    print(f"{members:3} members: {sum(map(len, times.values())):5} deliveries of {len(times)} messages")
slower = line(wrong, 0.5)[-1][1] > line(right, 0.5)[-1][1]
print("Half of the deliveries to 40 members take longer than in the reference:", "yes" if slower else "no")

# %% tags=["measured"]
chart(
    {"reference, p99": line(right, 0.99), "blocking, p99": line(wrong, 0.99)},
    "One millisecond for each member",
    "members",
    "milliseconds",
)

# %% [markdown]
# <details><summary>What to notice</summary>
#
# Every message arrives, once, and in order: no check of correctness would object. But the whole server
# stands still for *members × 1 ms* with each message, for all rooms at once, and nobody's heartbeat is read
# meanwhile. In an event loop, nothing may block. Whether a server is right and whether it is fast enough
# are two questions.
# </details>
