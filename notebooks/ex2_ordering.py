# %% [markdown] lang="en"
# # 2. One order for all
#
# [En français](ex2_ordering.fr.ipynb)
#
# Two people speak at the same moment. Who was first? Neither of them can tell, for neither had heard of the
# other: the two messages are **concurrent**. So somebody has to decide. Our server has a **sequencer**,
# which gives each message of a room a number, and everybody receives the messages in the order of these
# numbers. The name for that promise is **total order broadcast**.
#
# It is easy to give numbers in order. To *deliver* in that order is the exercise.

# %% [markdown] lang="fr"
# # 2. Un seul ordre pour tous
#
# [In English](ex2_ordering.ipynb)
#
# Deux personnes parlent au même moment. Laquelle était la première ? Aucune ne peut le dire, car aucune
# n'avait entendu l'autre : les deux messages sont **concurrents**. Il faut donc que quelqu'un décide. Notre
# serveur a un **séquenceur**, qui donne un numéro à chaque message d'une salle, et tous reçoivent les
# messages dans l'ordre de ces numéros. Cette promesse s'appelle **diffusion totalement ordonnée** (*total
# order broadcast*).
#
# Donner des numéros dans l'ordre est facile. *Livrer* dans cet ordre, c'est l'exercice.

# %%
from harness.notebooks import Stage, heard, say, settle
from harness.reports.charts import chart, delivery_times

stage = Stage(2, "en")  # Stage(2, "en", live=True) plays on a real server
# fr: stage = Stage(2, "fr")  # Stage(2, "fr", live=True) joue sur un vrai serveur

# %% [markdown] lang="en"
# ## The scene, on a slow disk
#
# Each message must be saved before anybody receives it (rule D). Our fault is a disk that is slow now and
# then: **the third save takes a fifth of a second longer**. Alice and Bob say “one” and “two”, one after
# the other. Then Alice says “three”; and while that is being saved, Bob says “four”.

# %% [markdown] lang="fr"
# ## La scène, sur un disque lent
#
# Chaque message doit être enregistré avant que quelqu'un le reçoive (règle D). Notre panne est un disque lent
# de temps en temps : **le troisième enregistrement prend un cinquième de seconde de plus**. Alice et Bob
# disent « un » et « deux », l'un après l'autre. Puis Alice dit « trois » ; et pendant qu'on l'enregistre, Bob
# dit « quatre ».


# %%
async def scene(world):
    red = world.name("red")
    # fr: red = world.name("rouge")
    alice, bob, carol = [await world.client(name) for name in ("alice", "bob", "carol")]
    for person in (alice, bob, carol):
        await person.join(red)
    await settle(alice, bob, carol)

    await say(alice, red, "one")
    # fr: await say(alice, red, "un")
    await settle(alice, bob, carol)
    await say(bob, red, "two")
    # fr: await say(bob, red, "deux")
    await settle(alice, bob, carol)

    await say(alice, red, "three")  # its save is slow
    # fr: await say(alice, red, "trois")  # son enregistrement est lent
    await bob.fence()  # the server has “three” by now
    # fr: await bob.fence()  # le serveur a maintenant « trois »
    await say(bob, red, "four")
    # fr: await say(bob, red, "quatre")
    await settle(alice, bob, carol)


# %% [markdown] lang="en"
# **Predict first.** “four” could be saved at once, while the disk is still busy with “three”.

# %% [markdown] lang="fr"
# **Prédisez d'abord.** « quatre » pourrait être enregistré tout de suite, pendant que le disque est encore
# occupé par « trois ».

# %%
stage.ask("carol", "In which order does Carol receive the numbers?", "1 2 3 4", "1 2 4 3", "1 2 4")
# fr: stage.ask("carol", "Dans quel ordre Carol reçoit-elle les numéros ?", "1 2 3 4", "1 2 4 3", "1 2 4")

# %%
right = await stage.perform(scene, store="slow_disk.py")
diagram = stage.spacetime(right, "The reference sequencer on a slow disk", show=("message",))
# fr: diagram = stage.spacetime(right, "Le séquenceur de référence sur un disque lent", show=("message",))
stage.reveal(diagram, carol=" ".join(map(str, heard(right, "carol"))))

# %% [markdown] lang="en"
# <details><summary>Why</summary>
#
# “four” waits. The sequencer serves the room's line one after the other: number, save, publish. Bob pays for
# Alice's slow save. That is the price of one order, and it is called *head-of-line blocking*.
#
# Note also what the diagram does not claim: Alice and Bob said “three” and “four” without having heard of
# each other's. No arrow leads from one to the other; the order between them was made by the server.
# </details>
#
# ## One defect
#
# This sequencer never gives a number twice. But look at where it waits:

# %% [markdown] lang="fr"
# <details><summary>Pourquoi</summary>
#
# « quatre » attend. Le séquenceur sert la file de la salle message après message : numéroter, enregistrer,
# publier. Bob paie pour l'enregistrement lent d'Alice. C'est le prix d'un seul ordre ; on l'appelle
# *head-of-line blocking*.
#
# Remarquez aussi ce que le diagramme n'affirme pas : Alice et Bob ont dit « trois » et « quatre » sans s'être
# entendus. Aucune flèche ne mène de l'un à l'autre ; l'ordre entre les deux a été fait par le serveur.
# </details>
#
# ## Un défaut
#
# Ce séquenceur ne donne jamais un numéro deux fois. Mais regardez où il attend :

# %%
stage.source("defects/sequencer.py", "accept")

# %% [markdown] lang="en"
# **Predict again.** Same scene, same disk.

# %% [markdown] lang="fr"
# **Prédisez encore.** Même scène, même disque.

# %%
stage.ask("carol_again", "In which order does Carol receive the numbers now?", "1 2 3 4", "1 2 4 3", "1 2 4")
# fr: stage.ask("carol_again", "Et maintenant, dans quel ordre ?", "1 2 3 4", "1 2 4 3", "1 2 4")

# %%
wrong = await stage.perform(scene, store="slow_disk.py", sequencer="defects/sequencer.py")
steps = stage.scrubber(wrong, "An await between number and publishing", show=("message",))
# fr: steps = stage.scrubber(wrong, "Un await entre numéro et publication", show=("message",))
stage.reveal(steps, carol_again=" ".join(map(str, heard(wrong, "carol"))))

# %% [markdown] lang="en"
# <details><summary>What to notice</summary>
#
# Follow the server's lane: it begins to save number 3, and at `await self._store.save(…)` the other session
# goes on, saves number 4 and publishes it. The numbers are right, and the order in which they are published
# is not.
#
# It is worse than an ugly screen: if Carol's connection breaks now, she asks for everything after the
# newest number that she has seen, which is 4. She never gets number 3.
#
# And no test with one message at a time would have shown it: it takes two in flight.
# </details>
#
# The kit's own check, on the same slow disk:

# %% [markdown] lang="fr"
# <details><summary>Ce qu'il faut remarquer</summary>
#
# Suivez la ligne du serveur : il commence à enregistrer le numéro 3, et à `await self._store.save(…)` l'autre
# session continue, enregistre le numéro 4 et le publie. Les numéros sont justes, et l'ordre de publication ne
# l'est pas.
#
# C'est pire qu'un écran laid : si la connexion de Carol se rompt maintenant, elle demande tout ce qui suit le
# numéro le plus récent qu'elle a vu, c'est-à-dire 4. Elle n'aura jamais le numéro 3.
#
# Et aucun test avec un message à la fois ne l'aurait montré : il en faut deux en chemin.
# </details>
#
# La vérification du kit, sur le même disque lent :

# %%
await stage.verdict("reorder", "sequencer", store="slow_disk.py", sequencer="defects/sequencer.py")

# %% [markdown] lang="en"
# ## What order costs
#
# The slowest delivery of each message, in milliseconds of virtual time. In the right server number 4 waits
# for number 3.

# %% [markdown] lang="fr"
# ## Ce que coûte l'ordre
#
# La livraison la plus lente de chaque message, en millisecondes de temps virtuel. Dans le serveur juste, le
# numéro 4 attend le numéro 3.


# %%
def slowest(history):
    return [(number, 1000 * max(taken)) for number, taken in delivery_times(history).items()]


series = {"reference": slowest(right), "defect": slowest(wrong)}
# fr: series = {"référence": slowest(right), "défaut": slowest(wrong)}
chart(series, "From sender to the last member", "message number", "milliseconds")
# fr: chart(series, "De l'auteur au dernier membre", "numéro du message", "millisecondes")

# %% [markdown] lang="en"
# ## Your turn
#
# [Exercise 2](../exercises/ex2_ordering/README.md) is to write this component. The next cell checks yours:

# %% [markdown] lang="fr"
# ## À vous
#
# L'[exercice 2](../exercises/ex2_ordering/README.fr.md) est d'écrire ce composant. La cellule suivante
# vérifie le vôtre :

# %% tags=["own"]
await stage.check()
