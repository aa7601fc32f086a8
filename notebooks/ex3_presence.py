# %% [markdown] lang="en"
# # 3. Who is here?
#
# [En français](ex3_presence.fr.ipynb)
#
# A machine that lost its network sends nothing, not even a farewell. A machine that is merely quiet sends
# nothing either. From outside, *dead* and *slow* look alike. All that one can do is to guess, and the part
# that guesses is called a **failure detector**. Ours asks for a sign of life now and then (a
# **heartbeat**), and takes whoever was silent for a **timeout** to be gone.
#
# Two things are wanted of it (Chandra and Toueg, 1996): that it is *complete*, so that the dead are found
# out some day, and that it is *accurate*, so that the living are left in peace.

# %% [markdown] lang="fr"
# # 3. Qui est là ?
#
# [In English](ex3_presence.ipynb)
#
# Une machine qui a perdu son réseau n'envoie rien, pas même un adieu. Une machine qui se tait n'envoie rien
# non plus. De l'extérieur, *mort* et *lent* se ressemblent. Tout ce qu'on peut faire est deviner, et la
# partie qui devine s'appelle un **détecteur de pannes**. Le nôtre demande de temps en temps un signe de vie
# (un **heartbeat**), et tient pour parti celui qui s'est tu pendant un **timeout**.
#
# On lui demande deux choses (Chandra et Toueg, 1996) : d'être *complet*, pour que les morts soient découverts
# un jour, et d'être *exact*, pour que les vivants soient laissés en paix.

# %%
from harness.history.faults import GO_SILENT
from harness.notebooks import Stage, settle

stage = Stage(3, "en")  # Stage(3, "en", live=True) plays on a real server
# fr: stage = Stage(3, "fr")  # Stage(3, "fr", live=True) joue sur un vrai serveur

# %% [markdown] lang="en"
# ## The scene
#
# Alice watches a room. **Rhea's connection is reset**: her machine is told so, and the server's as well.
# **Vera goes silent**: her socket stays open, and nothing comes from it any more. Here a heartbeat is sent
# twice a second, and the timeout is three heartbeats.

# %% [markdown] lang="fr"
# ## La scène
#
# Alice observe une salle. **La connexion de Rhea est réinitialisée** (*reset*) : sa machine l'apprend, et
# celle du serveur aussi. **Vera devient muette** : sa socket reste ouverte, et il n'en vient plus rien. Ici,
# un heartbeat est envoyé deux fois par seconde, et le timeout est de trois heartbeats.

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
    # fr: await vera.send_heartbeat()  # son dernier signe de vie
    vera.suffer(GO_SILENT)
    until = world.now() + BEATS * world.heartbeat
    await world.until(lambda: world.now() < until, patience=2 * BEATS * world.heartbeat)
    await alice.ask_presence(room)


# %% [markdown] lang="en"
# **Predict first.** Alice will be shown at once that Rhea is offline, since a reset is news. And Vera?

# %% [markdown] lang="fr"
# **Prédisez d'abord.** Alice verra tout de suite que Rhea est hors ligne, car un reset est une nouvelle. Et
# Vera ?

# %%
stage.ask("vera", "After how many heartbeats is Vera shown as offline?", 0, 1, 3, "never")
# fr: stage.ask("vera", "Après combien de heartbeats Vera est-elle montrée offline ?", 0, 1, 3, "jamais")

# %%
right = await stage.perform(scene)
users = ("alice", "rhea", "vera")
seen = stage.presence(right, "alice", "lobby", users, BEATS, "The reference server")
# fr: seen = stage.presence(right, "alice", "lobby", users, BEATS, "Le serveur de référence")
diagram = stage.spacetime(right, "The same, in logical time", show=("join", "presence"))
# fr: diagram = stage.spacetime(right, "La même chose, en temps logique", show=("join", "presence"))
stage.reveal(seen, diagram, vera=stage.offline_after(right, "alice", "lobby", "vera"))

# %% [markdown] lang="en"
# <details><summary>Why</summary>
#
# Vera only after the timeout, for nothing *happens* when a client goes silent; what the server notices is
# that something does *not* happen. No arrow leads from Vera to the server before its sweep declares her
# offline: it is the absence of arrows that is judged. The reference shows her as away on the way there. A
# shorter timeout would find her sooner, and would sometimes declare somebody dead who was just slow.
# </details>
#
# ## One defect
#
# The server sends heartbeats. This manager reasons: “we could send it one, and there was no error, so it is
# here”.

# %% [markdown] lang="fr"
# <details><summary>Pourquoi</summary>
#
# Vera seulement après le timeout, car rien ne *se passe* quand un client devient muet ; ce que le serveur
# remarque, c'est que quelque chose ne se passe *pas*. Aucune flèche ne mène de Vera au serveur avant que son
# `sweep` la déclare offline : c'est l'absence de flèches qui est jugée. La référence la montre away en
# chemin. Un timeout plus court la trouverait plus tôt, et déclarerait parfois mort quelqu'un qui était juste
# lent.
# </details>
#
# ## Un défaut
#
# Le serveur envoie des heartbeats. Ce gestionnaire raisonne : « nous avons pu lui en envoyer un, et il n'y a
# pas eu d'erreur, donc il est là ».

# %%
stage.source("defects/presence.py", "sweep")

# %% [markdown] lang="en"
# **Predict again.** What becomes of Rhea? And:

# %% [markdown] lang="fr"
# **Prédisez encore.** Que devient Rhea ? Et :

# %%
stage.ask("vera_again", "After how many heartbeats is Vera shown as offline now?", 0, 1, 3, "never")
# fr: stage.ask("vera_again", "Et maintenant, après combien de heartbeats ?", 0, 1, 3, "jamais")

# %%
wrong = await stage.perform(scene, presence="defects/presence.py")
title = "The server's own heartbeat counts as life"
# fr: title = "Le heartbeat du serveur compte comme vie"
seen = stage.presence(wrong, "alice", "lobby", users, BEATS, title)
steps = stage.scrubber(wrong, "The same, in logical time", show=("join", "presence"))
# fr: steps = stage.scrubber(wrong, "La même chose, en temps logique", show=("join", "presence"))
stage.reveal(seen, steps, vera_again=stage.offline_after(wrong, "alice", "lobby", "vera"))

# %% [markdown] lang="en"
# <details><summary>What to notice</summary>
#
# Rhea is found out as before, because her reset is an event. Vera stays for ever, a **zombie**: to *send*
# succeeds as long as the system's buffers take it, and says nothing about the other side. This detector is
# accurate (it never suspects the living), and not complete. Only what comes *from* a client shows that the
# client lives.
# </details>
#
# The kit's own check:

# %% [markdown] lang="fr"
# <details><summary>Ce qu'il faut remarquer</summary>
#
# Rhea est découverte comme avant, parce que son reset est un événement. Vera reste pour toujours, un
# **zombie** : *envoyer* réussit tant que les tampons du système prennent les octets, et ne dit rien de
# l'autre côté. Ce détecteur est exact (il ne soupçonne jamais les vivants), mais pas complet. Seul ce qui
# vient *d'un* client montre qu'il vit.
# </details>
#
# La vérification du kit :

# %%
await stage.verdict("zombie_presence", "presence", presence="defects/presence.py")

# %% [markdown] lang="en"
# ## Your turn
#
# [Exercise 3](../exercises/ex3_presence/README.md) is to write this component. The next cell checks yours:

# %% [markdown] lang="fr"
# ## À vous
#
# L'[exercice 3](../exercises/ex3_presence/README.fr.md) est d'écrire ce composant. La cellule suivante
# vérifie le vôtre :

# %% tags=["own"]
await stage.check()
