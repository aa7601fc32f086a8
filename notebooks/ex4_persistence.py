# %% [markdown] lang="en"
# # 4. What survives
#
# [En français](ex4_persistence.fr.ipynb)
#
# A server dies. Not in good order, but between two instructions: that is what SIGKILL does, and a kernel
# that runs out of memory. What was only in its memory is gone.
#
# **Durability** is a promise about that moment: *whatever somebody has received is still there afterwards*.
# The way to keep it is to **write ahead**: first store, then show. Databases call the file a *write-ahead
# log*.

# %% [markdown] lang="fr"
# # 4. Ce qui survit
#
# [In English](ex4_persistence.ipynb)
#
# Un serveur meurt. Pas en bon ordre, mais entre deux instructions : c'est ce que fait SIGKILL, et un noyau à
# court de mémoire. Ce qui n'était que dans sa mémoire est perdu.
#
# La **durabilité** est une promesse sur ce moment : *tout ce que quelqu'un a reçu est encore là après*. Pour
# la tenir, on **écrit d'abord** : enregistrer, puis montrer. Les bases de données appellent ce fichier un
# *write-ahead log*.

# %%
from harness.notebooks import Stage, heard, say, settle

stage = Stage(4, "en")  # Stage(4, "en", live=True) plays on a real server
# fr: stage = Stage(4, "fr")  # Stage(4, "fr", live=True) joue sur un vrai serveur

# %% [markdown] lang="en"
# ## The scene
#
# Alice and Bob say three things. **The server is killed**, and started again on the same data. Both come
# back and ask for what they missed. Alice did not note whether “three” was accepted, so she **says it again
# under its id**, as good clients do. Then Bob says “four”, and Carol comes and reads from the start.

# %% [markdown] lang="fr"
# ## La scène
#
# Alice et Bob disent trois choses. **Le serveur est tué**, et redémarré sur les mêmes données. Tous deux
# reviennent et demandent ce qu'ils ont manqué. Alice n'a pas noté si « trois » avait été accepté, alors elle
# **le redit sous son id**, comme le font les bons clients. Puis Bob dit « quatre », et Carol arrive et lit
# depuis le début.


# %%
async def scene(world):
    red = world.name("red")
    # fr: red = world.name("rouge")
    alice, bob = [await world.client(name) for name in ("alice", "bob")]
    for person in (alice, bob):
        await person.join(red)
        await settle(alice, bob)

    three = f"{world.tag()}. three"
    # fr: three = f"{world.tag()}. trois"
    await say(alice, red, "one")
    # fr: await say(alice, red, "un")
    await settle(alice, bob)
    await say(bob, red, "two")
    # fr: await say(bob, red, "deux")
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
    # fr: await say(bob, red, "quatre")
    await settle(alice, bob)

    carol = await world.client("carol")
    await carol.join(red, since=0)
    await settle(alice, bob, carol)


# %% [markdown] lang="en"
# **Predict first.** Which number does Bob's “four” get? Who hears “three” a second time? And:

# %% [markdown] lang="fr"
# **Prédisez d'abord.** Quel numéro reçoit le « quatre » de Bob ? Qui entend « trois » une deuxième fois ? Et
# :

# %%
stage.ask("carol", "Which numbers does Carol read?", "4", "3 4", "1 2 3 4", "1 2 3 4 5")
# fr: stage.ask("carol", "Quels numéros Carol lit-elle ?", "4", "3 4", "1 2 3 4", "1 2 3 4 5")

# %%
right = await stage.perform(scene)
diagram = stage.spacetime(right, "The reference server", show=("join", "message", "replay"))
# fr: diagram = stage.spacetime(right, "Le serveur de référence", show=("join", "message", "replay"))
stage.reveal(diagram, carol=" ".join(map(str, heard(right, "carol"))))

# %% [markdown] lang="en"
# <details><summary>Why</summary>
#
# “four” gets number 4: the counter goes on from what is stored. Alice alone hears “three” once more, with
# its old number 3: the server knows the id, stores nothing, and just tells her (rule R). With an id, to
# send twice is the same as to send once, so a client that is in doubt may always send again. Carol reads 1
# to 4.
# </details>
#
# ## One defect
#
# This store keeps messages in lists. It writes them to a file in good order, when the server stops:

# %% [markdown] lang="fr"
# <details><summary>Pourquoi</summary>
#
# « quatre » reçoit le numéro 4 : le compteur reprend à partir de ce qui est enregistré. Seule Alice entend «
# trois » encore une fois, avec son ancien numéro 3 : le serveur connaît l'id, n'enregistre rien, et le lui
# dit simplement (règle R). Avec un id, envoyer deux fois revient à envoyer une fois ; un client qui doute
# peut donc toujours renvoyer. Carol lit de 1 à 4.
# </details>
#
# ## Un défaut
#
# Ce stockage garde les messages dans des listes. Il les écrit dans un fichier en bon ordre, quand le serveur
# s'arrête :

# %%
stage.source("defects/store.py", "save", "close")

# %% [markdown] lang="en"
# **Predict again.** A restart by SIGTERM would go well. What happens after SIGKILL?

# %% [markdown] lang="fr"
# **Prédisez encore.** Un redémarrage par SIGTERM se passerait bien. Que se passe-t-il après SIGKILL ?

# %%
stage.ask("carol_again", "Which numbers does Carol read now?", "4", "3 4", "1 2", "1 2 3 4")
# fr: stage.ask("carol_again", "Quels numéros Carol lit-elle maintenant ?", "4", "3 4", "1 2", "1 2 3 4")

# %%
wrong = await stage.perform(scene, store="defects/store.py")
steps = stage.scrubber(wrong, "Messages are kept in memory", show=("join", "message", "replay"))
# fr: steps = stage.scrubber(wrong, "Les messages sont gardés en mémoire", show=("join", "message", "replay"))
numbers = stage.numbers(wrong, "red", "Numbers in the order of their arrival")
# fr: numbers = stage.numbers(wrong, "rouge", "Les numéros dans l'ordre de leur arrivée")
stage.reveal(steps, numbers, carol_again=" ".join(map(str, heard(wrong, "carol"))))

# %% [markdown] lang="en"
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

# %% [markdown] lang="fr"
# <details><summary>Ce qu'il faut remarquer</summary>
#
# Carol n'apprend jamais que « un » et « deux » ont été dits ; Alice et Bob s'en souviennent. Le « trois »
# renvoyé est pris pour quelque chose de nouveau. Et les numéros recommencent : il y a maintenant deux
# messages de numéro 1. Qui demande tout ce qui suit le numéro 3 ne reçoit rien pendant un moment, alors que
# l'on parle.
#
# Le stockage n'a rien fait de faux qu'un test sans kill puisse voir.
# </details>
#
# La vérification du kit tue le serveur au milieu d'une rafale, quand des messages sont en chemin :

# %%
await stage.verdict("lost_after_crash", "store", store="defects/store.py")

# %% [markdown] lang="en"
# What it cannot show: SIGKILL does not lose what the operating system holds in its cache. Against a power
# cut only `fsync` helps, and to test that, one has to pull the plug.
#
# ## Your turn
#
# [Exercise 4](../exercises/ex4_persistence/README.md) is to write this component. The next cell checks yours:

# %% [markdown] lang="fr"
# Ce qu'elle ne peut pas montrer : SIGKILL ne perd pas ce que le système garde dans son cache. Contre une
# coupure de courant, seul `fsync` aide, et pour le tester il faut débrancher la prise.
#
# ## À vous
#
# L'[exercice 4](../exercises/ex4_persistence/README.fr.md) est d'écrire ce composant. La cellule suivante
# vérifie le vôtre :

# %% tags=["own"]
await stage.check()
