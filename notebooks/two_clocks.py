# %% [markdown] lang="en"
# # Two clocks
#
# [En français](two_clocks.fr.ipynb)
#
# These notebooks play in **virtual time**: the clock does not run, it jumps to the next moment at which
# something is due. The server is the same program, with the same library; its network, its disk and its clock
# are simulated. The same scene can be played in **real time**: with a process, sockets, and a clock that
# nobody stops. What is the same, and what is not?

# %% [markdown] lang="fr"
# # Deux horloges
#
# [In English](two_clocks.ipynb)
#
# Ces notebooks jouent en **temps virtuel** : l'horloge ne marche pas, elle saute au prochain moment où
# quelque chose doit arriver. Le serveur est le même programme, avec la même bibliothèque ; son réseau, son
# disque et son horloge sont simulés. La même scène peut être jouée en **temps réel** : avec un processus, des
# sockets, et une horloge que personne n'arrête. Qu'est-ce qui est pareil, et qu'est-ce qui ne l'est pas ?

# %%
import time

from harness.history.events import digest
from harness.history.faults import GO_SILENT
from harness.notebooks import Stage, say, settle
from harness.reports.charts import delivery_times, percentile

stage = Stage(3, "en")
# fr: stage = Stage(3, "fr")


async def scene(world):
    room = world.name("lobby")
    alice, vera = [await world.client(name) for name in ("alice", "vera")]
    for person in (alice, vera):
        await person.join(room)
        await settle(alice, vera)

    await vera.send_heartbeat()  # her last sign of life
    # fr: await vera.send_heartbeat()  # son dernier signe de vie
    vera.suffer(GO_SILENT)
    until = world.now() + 4 * world.heartbeat
    await world.until(lambda: world.now() < until, patience=8 * world.heartbeat)
    await alice.ask_presence(room)


# %% [markdown] lang="en"
# ## Waiting costs nothing
#
# Vera goes silent. The course's own intervals are 30 s between heartbeats, and 60 s until somebody is
# offline. The scene lasts four heartbeats.

# %% [markdown] lang="fr"
# ## Attendre ne coûte rien
#
# Vera devient muette. Les intervalles du cours sont 30 s entre deux heartbeats, et 60 s jusqu'à ce que
# quelqu'un soit offline. La scène dure quatre heartbeats.

# %%
stage.ask("long", "How long does it take to play this, in seconds?", "under 2", 30, 60, 120)
# fr: stage.ask("long", "Combien de secondes faut-il pour jouer cela ?", "moins de 2", 30, 60, 120)

# %%
began = time.perf_counter()
virtual = await stage.perform(scene, intervals=(30, 60))
took = time.perf_counter() - began
print(f"virtual time: {virtual[-1].at:.0f} s")
# fr: print(f"temps virtuel : {virtual[-1].at:.0f} s")

# %% tags=["measured"]
stage.reveal(long="under 2" if took < 2 else f"{took:.0f}")
# fr: stage.reveal(long="moins de 2" if took < 2 else f"{took:.0f}")

# %% [markdown] lang="en"
# ## The same, twice
#
# All that is left to chance in a network (how long a frame is under way, who is served first) comes from one
# number, the **seed**. We play the same scene again, and compare the two histories: each frame, each time, to
# the microsecond.

# %% [markdown] lang="fr"
# ## Deux fois la même chose
#
# Tout ce qui dépend du hasard dans un réseau (combien de temps une trame est en chemin, qui est servi
# d'abord) vient d'un seul nombre, la **graine** (*seed*). Nous rejouons la même scène, et comparons les deux
# historiques : chaque trame, chaque heure, à la microseconde près.

# %%
again = await stage.perform(scene, intervals=(30, 60))
print("the same history:", digest(virtual) == digest(again))
# fr: print("le même historique :", digest(virtual) == digest(again))

# %% [markdown] lang="en"
# That is why a failure with a seed can be shown to somebody else, and why it is still there when you look for
# its cause. Now in real time, with heartbeats every 0.3 s, since here we have to wait. Two plays:

# %% [markdown] lang="fr"
# C'est pourquoi un échec qui a une graine peut être montré à quelqu'un d'autre, et pourquoi il est encore là
# quand vous en cherchez la cause. Maintenant en temps réel, avec un heartbeat toutes les 0,3 s, car ici il
# faut attendre. Deux fois :

# %%
stage.ask("same", "What will be the same in both?", "all", "the order of events", "nothing")
# fr: stage.ask("same", "Qu'est-ce qui sera pareil les deux fois ?", "tout", "l'ordre des événements", "rien")

# %%
first = await stage.perform(scene, live=True, intervals=(0.3, 0.6))
second = await stage.perform(scene, live=True, intervals=(0.3, 0.6))
title, show = "Vera goes silent", ("join", "presence")
# fr: title, show = "Vera devient muette", ("join", "presence")
pictures = [stage.spacetime(history, title, show) for history in (first, second)]
is_same, is_alike = digest(first) == digest(second), pictures[0].name == pictures[1].name
was = "all" if is_same else "the order of events" if is_alike else "nothing"
# fr: was = "tout" if is_same else "l'ordre des événements" if is_alike else "rien"
stage.reveal(stage.spacetime(virtual, title, show), same=was)

# %% [markdown] lang="en"
# <details><summary>What to notice</summary>
#
# No two plays in real time have the same times, so their histories differ. But the diagram, which draws *what
# causes what*, is the same: it does not depend on clocks. The one above is that of the virtual play, in which
# one also sees what the server does.
#
# Where the order is *not* fixed, real time shows one order today and another one tomorrow; that is a race. In
# virtual time each seed is one order, and one can try a thousand of them in a few seconds. `chatlab check
# --world sim` does that.
# </details>
#
# ## What virtual time cannot show
#
# This pubsub keeps every promise. But it computes for some milliseconds, for each member of the room:

# %% [markdown] lang="fr"
# <details><summary>Ce qu'il faut remarquer</summary>
#
# Deux plays en temps réel n'ont jamais les mêmes heures, donc leurs historiques diffèrent. Mais le diagramme,
# qui dessine *ce qui cause quoi*, est le même : il ne dépend pas des horloges. Celui ci-dessus est celui du
# temps virtuel, où l'on voit aussi ce que fait le serveur.
#
# Là où l'ordre n'est *pas* fixé, le temps réel en montre un aujourd'hui et un autre demain ; c'est une course
# (*race*). En temps virtuel, chaque graine est un ordre, et l'on peut en essayer mille en quelques secondes.
# C'est ce que fait `chatlab check --world sim`.
# </details>
#
# ## Ce que le temps virtuel ne peut pas montrer
#
# Ce pubsub tient toutes ses promesses. Mais il calcule pendant quelques millisecondes, pour chaque membre de
# la salle :

# %%
stage.source("defects/busy_pubsub.py", "publish")


# %%
async def talk(world):
    room = world.name("hall")
    people = [await world.client(f"member{number}") for number in range(10)]
    for person in people:
        await person.join(room)
    for number in range(5):
        await say(people[0], room, f"message {number}")
        await settle(people[0], people[-1])
    await settle(*people)


def median(history):
    times = [each for taken in delivery_times(history).values() for each in taken]
    return 1000 * percentile(times, 0.5)


# %%
question = "In which world do its members wait longer than with the reference?"
# fr: question = "Dans quel monde ses membres attendent-ils plus longtemps qu'avec la référence ?"
stage.ask("clock", question, "both", "real", "virtual")
# fr: stage.ask("clock", question, "les deux", "réel", "virtuel")

# %%
times = {
    (world, name): median(await stage.perform(talk, live=world == "real", **components))
    for world in ("virtual", "real")
    for name, components in (("reference", {}), ("busy", {"pubsub": "defects/busy_pubsub.py"}))
}
waits = [world for world in ("virtual", "real") if times[world, "busy"] > 2 * times[world, "reference"]]
names = {"virtual real": "both", "virtual": "virtual", "real": "real", "": "neither"}
# fr: names = {"virtual real": "les deux", "virtual": "virtuel", "real": "réel", "": "aucun"}
stage.reveal(clock=names[" ".join(waits)])

# %% tags=["measured"]
for (world, name), milliseconds in times.items():
    print(f"{world:8} {name:10} median {milliseconds:6.1f} ms")
    # fr: print(f"{world:8} {name:10} médiane {milliseconds:6.1f} ms")

# %% [markdown] lang="en"
# <details><summary>What to notice</summary>
#
# In virtual time **code takes no time**: only networks, disks, sleeping and waiting do. So virtual time shows
# whether a server is *right* in a thousand orders, with intervals of a minute; and real time shows whether it
# is *fast enough*, and whether the machine does what the simulation supposes. That is why the kit has two
# worlds, and why a check in one of them does not replace a check in the other.
# </details>

# %% [markdown] lang="fr"
# <details><summary>Ce qu'il faut remarquer</summary>
#
# En temps virtuel, **le code ne prend pas de temps** : seuls les réseaux, les disques, le sommeil et
# l'attente en prennent. Le temps virtuel montre donc si un serveur est *juste* dans mille ordres, avec des
# intervalles d'une minute ; et le temps réel montre s'il est *assez rapide*, et si la machine fait ce que la
# simulation suppose. C'est pourquoi le kit a deux mondes, et pourquoi une vérification dans l'un ne remplace
# pas une vérification dans l'autre.
# </details>
