# %% [markdown] lang="en"
# # Load: how latency grows with the room
#
# [En français](load.fr.ipynb)
#
# A message in a room of *n* members is delivered *n* times. This **fan-out** is the cost of a chat: twice the
# members, twice the work for each message. **Latency** is the time from when somebody speaks until a member
# hears it. We look at the **median**, which half of the deliveries do not exceed, and at the **slowest**. An
# average would hide the few who wait long, and they are the ones who complain.

# %% [markdown] lang="fr"
# # La charge : comment la latence grandit avec la salle
#
# [In English](load.ipynb)
#
# Un message dans une salle de *n* membres est livré *n* fois. Ce **fan-out** est le coût d'un chat : deux
# fois plus de membres, deux fois plus de travail pour chaque message. La **latence** est le temps entre le
# moment où quelqu'un parle et celui où un membre l'entend. Nous regardons la **médiane**, que la moitié des
# livraisons ne dépasse pas, et la **plus lente**. Une moyenne cacherait les quelques-uns qui attendent
# longtemps, et ce sont eux qui se plaignent.

# %%
from harness.notebooks import Stage, say, settle
from harness.reports.charts import chart, delivery_times, percentile

stage = Stage(1, "en", live=True)  # a clock that is simulated cannot measure
# fr: stage = Stage(1, "fr", live=True)  # une horloge simulée ne peut pas mesurer

# %% [markdown] lang="en"
# ## The scene
#
# One person speaks, and waits each time until everybody has heard it. So nothing queues up, and what we
# measure is the fan-out of a single message, on a real server. The clients are simulated in this notebook's
# own process, which takes its part of the time too.

# %% [markdown] lang="fr"
# ## La scène
#
# Une personne parle, et attend chaque fois que tout le monde l'ait entendue. Ainsi rien ne s'accumule, et ce
# que nous mesurons est le fan-out d'un seul message, sur un vrai serveur. Les clients sont simulés dans le
# processus de ce notebook, qui prend aussi sa part du temps.

# %%
MEMBERS = (2, 10, 20, 40)
MESSAGES = 10


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
    """For each number of members, the seconds that each delivery took."""
    # fr: """Pour chaque nombre de membres, les secondes que chaque livraison a prises."""
    found = {}
    for members in MEMBERS:
        times = delivery_times(await stage.perform(crowd(members), **components))
        found[members] = [each for taken in times.values() for each in taken]
    return found


# %% [markdown] lang="en"
# **Predict first.** Is the slowest delivery to 40 members twenty times as slow as that to 2? And:

# %% [markdown] lang="fr"
# **Prédisez d'abord.** La livraison la plus lente à 40 membres est-elle vingt fois plus lente que celle à 2 ?
# Et :

# %%
stage.ask("count", "How many deliveries do 10 messages in a room of 40 make?", 10, 40, 400, 800)
# fr: stage.ask("count", "Combien de livraisons font 10 messages dans une salle de 40 ?", 10, 40, 400, 800)

# %%
right = await measure()
stage.reveal(count=len(right[40]))


# %% tags=["measured"]
def line(found, share):
    return [(members, 1000 * percentile(taken, share)) for members, taken in found.items()]


lines = {"median": line(right, 0.5), "slowest": line(right, 1.0)}
# fr: lines = {"médiane": line(right, 0.5), "la plus lente": line(right, 1.0)}
stage.reveal(chart(lines, "The reference server", "members", "milliseconds"))
# fr: stage.reveal(chart(lines, "Le serveur de référence", "membres", "millisecondes"))

# %% [markdown] lang="en"
# <details><summary>Why</summary>
#
# The time grows with the room, but there is a part that stays the same: to wake up, to save, to number. The
# server makes the bytes of a frame once for all members and hands them to the system without waiting for
# anybody.
# </details>
#
# ## One defect
#
# This pubsub keeps every promise of exercise 1. But for each member it does something that blocks:

# %% [markdown] lang="fr"
# <details><summary>Pourquoi</summary>
#
# Le temps grandit avec la salle, mais une partie reste la même : se réveiller, enregistrer, numéroter. Le
# serveur fabrique les octets d'une trame une fois pour tous les membres, et les remet au système sans
# attendre personne.
# </details>
#
# ## Un défaut
#
# Ce pubsub tient toutes les promesses de l'exercice 1. Mais pour chaque membre, il fait quelque chose qui
# bloque :

# %%
stage.source("defects/blocking_pubsub.py", "publish")

# %% [markdown] lang="en"
# **Predict again.** One millisecond is not much.

# %% [markdown] lang="fr"
# **Prédisez encore.** Une milliseconde, ce n'est pas beaucoup.

# %%
stage.ask("slower", "How much longer does half of the 40 members wait, at least?", "1 ms", "10 ms")
# fr: stage.ask("slower", "De combien la moitié des 40 attend-elle de plus, au moins ?", "1 ms", "10 ms")

# %%
wrong = await measure(pubsub="defects/blocking_pubsub.py")
more = 1000 * (percentile(wrong[40], 0.5) - percentile(right[40], 0.5))
stage.reveal(slower="10 ms" if more > 10 else "1 ms")

# %% tags=["measured"]
lines = {
    "reference": line(right, 1.0),
    # fr: "référence": line(right, 1.0),
    "blocking": line(wrong, 1.0),
    # fr: "bloquant": line(wrong, 1.0),
}
title = "The slowest delivery, with a millisecond for each member"
# fr: title = "La livraison la plus lente, avec une milliseconde par membre"
stage.reveal(chart(lines, title, "members", "milliseconds"))
# fr: stage.reveal(chart(lines, title, "membres", "millisecondes"))

# %% [markdown] lang="en"
# <details><summary>What to notice</summary>
#
# Every message arrives, once, and in order: no check of correctness would object. But the whole server
# stands still for *members × 1 ms* with each message, for all rooms at once, and nobody's heartbeat is read
# meanwhile. In an event loop, nothing may block. Whether a server is right and whether it is fast enough
# are two questions.
# </details>

# %% [markdown] lang="fr"
# <details><summary>Ce qu'il faut remarquer</summary>
#
# Chaque message arrive, une fois, et dans l'ordre : aucune vérification de justesse n'y trouverait à redire.
# Mais tout le serveur s'arrête pendant *membres × 1 ms* à chaque message, pour toutes les salles à la fois,
# et pendant ce temps aucun heartbeat n'est lu. Dans une boucle d'événements, rien ne doit bloquer. Savoir si
# un serveur est juste et s'il est assez rapide sont deux questions.
# </details>
