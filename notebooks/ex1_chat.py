# %% [markdown] lang="en"
# # 1. Who hears what
#
# [En français](ex1_chat.fr.ipynb)
#
# A chat server is a **publish/subscribe** system: clients *subscribe* to rooms, and what is *published* in
# a room goes to its subscribers, once to each, and to nobody else. (PROTOCOL.md calls these the rules O and
# I.)
#
# Below, simulated people play a scene on the reference server, in virtual time. We look at what happened in a
# **space-time diagram**, as Lamport drew them in 1978: a line for each process, an arrow for each message.
# Time runs down. It is *logical*: an event stands below everything that can have caused it.

# %% [markdown] lang="fr"
# # 1. Qui entend quoi
#
# [In English](ex1_chat.ipynb)
#
# Un serveur de chat est un système **publish/subscribe** : les clients *s'abonnent* à des salles, et ce qui
# est *publié* dans une salle va à ses abonnés, une fois à chacun, et à personne d'autre. (PROTOCOL.md appelle
# cela les règles O et I.)
#
# Ci-dessous, des personnes simulées jouent une scène sur le serveur de référence, en temps virtuel. Nous
# regardons ce qui s'est passé dans un **diagramme espace-temps**, comme Lamport les a dessinés en 1978 : une
# ligne pour chaque processus, une flèche pour chaque message. Le temps descend. Il est *logique* : un
# événement se trouve sous tout ce qui peut l'avoir causé.

# %%
from harness.notebooks import Stage, heard, say, settle

stage = Stage(1, "en")  # Stage(1, "en", live=True) plays on a real server
# fr: stage = Stage(1, "fr")  # Stage(1, "fr", live=True) joue sur un vrai serveur

# %% [markdown] lang="en"
# ## The scene
#
# Alice and Bob are in the room *red*, Carol is in *blue*. Bob is impatient and **joins red a second time**.
# Then he leaves it, and Carol loses her connection.

# %% [markdown] lang="fr"
# ## La scène
#
# Alice et Bob sont dans la salle *rouge*, Carol est dans *bleu*. Bob est impatient et **entre une deuxième
# fois dans rouge**. Puis il en sort, et Carol perd sa connexion.


# %%
async def scene(world):
    red, blue = world.name("red"), world.name("blue")
    # fr: red, blue = world.name("rouge"), world.name("bleu")
    alice, bob, carol = [await world.client(name) for name in ("alice", "bob", "carol")]
    everybody = (alice, bob, carol)
    for person, room in ((alice, red), (bob, red), (carol, blue), (bob, red)):
        await person.join(room)
        await settle(*everybody)

    await say(alice, red, "hello")
    # fr: await say(alice, red, "bonjour")
    await settle(*everybody)
    await bob.leave(red)
    await settle(*everybody)
    await say(alice, red, "bye, Bob")
    # fr: await say(alice, red, "salut, Bob")
    await settle(*everybody)

    await carol.reset()  # the network drops her
    # fr: await carol.reset()  # le réseau la coupe
    await settle(*everybody)
    await say(alice, red, "alone?")
    # fr: await say(alice, red, "seule ?")
    await settle(*everybody)


# %% [markdown] lang="en"
# **Predict first.** Alice says three things. Who is told that Bob left, and who is told that Carol is gone?
# And:

# %% [markdown] lang="fr"
# **Prédisez d'abord.** Alice dit trois choses. Qui apprend que Bob est sorti, et qui apprend que Carol n'est
# plus là ? Et :

# %%
stage.ask("bob", "How many messages does Bob receive?", 0, 1, 2, 3)
# fr: stage.ask("bob", "Combien de messages Bob reçoit-il ?", 0, 1, 2, 3)

# %%
right = await stage.perform(scene)
diagram = stage.spacetime(right, "The reference server", show=("join", "message", "notice"))
# fr: diagram = stage.spacetime(right, "Le serveur de référence", show=("join", "message", "notice"))
stage.reveal(diagram, bob=len(heard(right, "bob")))

# %% [markdown] lang="en"
# <details><summary>Why</summary>
#
# Bob receives one message, “hello”, and only once: to join twice is the same as to join once. After he left
# he hears nothing more of *red*. Carol receives none, for she is in another room. Alice is told that Bob
# left. Nobody is told of Carol, since nobody else is in *blue*.
#
# Alice hears her own messages as well. That is how she learns their numbers, and that they were accepted.
# </details>
#
# ## One defect
#
# This `subscribe` puts the member on the list, and does not ask whether it is there already:

# %% [markdown] lang="fr"
# <details><summary>Pourquoi</summary>
#
# Bob reçoit un message, « bonjour », et une seule fois : entrer deux fois revient à entrer une fois. Une fois
# sorti, il n'entend plus rien de *rouge*. Carol n'en reçoit aucun, car elle est dans une autre salle. Alice
# apprend que Bob est sorti. Personne n'apprend rien de Carol, puisque personne d'autre n'est dans *bleu*.
#
# Alice entend aussi ses propres messages. C'est ainsi qu'elle apprend leurs numéros, et qu'ils ont été
# acceptés.
# </details>
#
# ## Un défaut
#
# Ce `subscribe` met le membre sur la liste, sans demander s'il y est déjà :

# %%
stage.source("defects/pubsub.py", "subscribe", "unsubscribe")

# %% [markdown] lang="en"
# **Predict again.** Look at `unsubscribe`, too: there is a second consequence.

# %% [markdown] lang="fr"
# **Prédisez encore.** Regardez aussi `unsubscribe` : il y a une deuxième conséquence.

# %%
stage.ask("bob_again", "How many messages does Bob receive now?", 1, 2, 3, 4)
# fr: stage.ask("bob_again", "Combien de messages Bob reçoit-il maintenant ?", 1, 2, 3, 4)

# %%
wrong = await stage.perform(scene, pubsub="defects/pubsub.py")
title = "Who joins twice is on the list twice"
# fr: title = "Qui entre deux fois est deux fois sur la liste"
steps = stage.scrubber(wrong, title, show=("join", "message", "notice"))
stage.reveal(steps, bob_again=len(heard(wrong, "bob")))

# %% [markdown] lang="en"
# <details><summary>What to notice</summary>
#
# Bob hears “hello” **again**: the same number comes twice. And he still hears all that is said after he left,
# because `list.remove` takes away one of two entries. One missing question, and two promises are broken, of
# which the second one also breaches somebody's privacy. Adding to a *set* is **idempotent** (twice is the
# same as once); adding to a list is not. In a network that may repeat things, that is worth a lot.
# </details>
#
# The kit's own check finds it as well:

# %% [markdown] lang="fr"
# <details><summary>Ce qu'il faut remarquer</summary>
#
# Bob entend « bonjour » **de nouveau** : le même numéro arrive deux fois. Et il entend encore tout ce qui est
# dit après sa sortie, parce que `list.remove` n'enlève qu'une entrée sur deux. Une question oubliée, et deux
# promesses sont rompues, dont la seconde viole aussi la vie privée de quelqu'un. Ajouter à un *ensemble* est
# **idempotent** (deux fois revient à une fois) ; ajouter à une liste ne l'est pas. Dans un réseau qui peut
# répéter les choses, cela vaut beaucoup.
# </details>
#
# La vérification du kit le trouve aussi :

# %%
await stage.verdict("duplicate", "pubsub", pubsub="defects/pubsub.py")

# %% [markdown] lang="en"
# ## Your turn
#
# [Exercise 1](../exercises/ex1_chat/README.md) is to write this component. The next cell checks yours:

# %% [markdown] lang="fr"
# ## À vous
#
# L'[exercice 1](../exercises/ex1_chat/README.fr.md) est d'écrire ce composant. La cellule suivante vérifie le
# vôtre :

# %% tags=["own"]
await stage.check()
