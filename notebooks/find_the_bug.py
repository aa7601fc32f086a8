# %% [markdown] lang="en"
# # Find the bug
#
# [En français](find_the_bug.fr.ipynb)
#
# A component of this server has one defect, and nobody tells you which. You have what one has in real life: a
# history of what happened, and the code. Do exercise 4 before this, or after it.

# %% [markdown] lang="fr"
# # Trouvez le bug
#
# [In English](find_the_bug.ipynb)
#
# Un composant de ce serveur a un défaut, et personne ne vous dit lequel. Vous avez ce que l'on a dans la vie
# réelle : un historique de ce qui s'est passé, et le code. Faites-le avant l'exercice 4, ou après.

# %%
import codecs

from harness.notebooks import Stage, heard, settle

stage = Stage(4, "en")
# fr: stage = Stage(4, "fr")

# %% [markdown] lang="en"
# ## The scene
#
# People number their messages themselves, and send this number as the `id`. Alice says “one”, then her
# connection breaks. She does not know whether “one” was accepted, so she comes back and **says it again under
# its id**. Then Bob says “two”, which is his first message, and “three”, his second. At last Carol reads
# everything.

# %% [markdown] lang="fr"
# ## La scène
#
# Chacun numérote ses propres messages, et envoie ce numéro comme `id`. Alice dit « un », puis sa connexion se
# rompt. Elle ne sait pas si « un » a été accepté, alors elle revient et **le redit sous son id**. Puis Bob
# dit « deux », qui est son premier message, et « trois », son deuxième. À la fin, Carol lit tout.


# %%
async def scene(world):
    red = world.name("red")
    # fr: red = world.name("rouge")
    alice, bob = [await world.client(name) for name in ("alice", "bob")]
    for person in (alice, bob):
        await person.join(red)
        await settle(alice, bob)

    one = f"{world.tag()}. one"
    # fr: one = f"{world.tag()}. un"
    await alice.say(red, one, id="1")
    await settle(alice, bob)
    await alice.reset()
    await settle(bob)
    await alice.connect()
    await alice.join(red, since=alice.newest[red])
    await alice.say(red, one, id="1")
    await settle(alice, bob)

    await bob.say(red, f"{world.tag()}. two", id="1")
    # fr: await bob.say(red, f"{world.tag()}. deux", id="1")
    await settle(alice, bob)
    await bob.say(red, f"{world.tag()}. three", id="2")
    # fr: await bob.say(red, f"{world.tag()}. trois", id="2")
    await settle(alice, bob)

    carol = await world.client("carol")
    await carol.join(red, since=0)
    await settle(alice, bob, carol)


# %% [markdown] lang="en"
# **Predict first**, for a server without any defect:

# %% [markdown] lang="fr"
# **Prédisez d'abord**, pour un serveur sans défaut :

# %%
stage.ask("carol", "How many messages does Carol read?", 1, 2, 3, 4)
# fr: stage.ask("carol", "Combien de messages Carol lit-elle ?", 1, 2, 3, 4)

# %%
right = await stage.perform(scene)
show = ("join", "message", "replay")
diagram = stage.spacetime(right, "The reference server", show)
# fr: diagram = stage.spacetime(right, "Le serveur de référence", show)
stage.reveal(diagram, carol=len(heard(right, "carol")))

# %% [markdown] lang="en"
# ## The server with the defect
#
# Step through it: move the slider below the drawing, or click on it and use the arrow keys. Look at each
# moment at what everybody has seen, and find **the first moment at which something is wrong**. (Where no
# scripts run, as on GitHub, there is the drawing alone, which is enough.)

# %% [markdown] lang="fr"
# ## Le serveur qui a le défaut
#
# Parcourez-le : déplacez le curseur sous le dessin, ou cliquez dessus et utilisez les flèches du clavier.
# Regardez à chaque moment ce que chacun a vu, et trouvez **le premier moment où quelque chose ne va pas**.
# (Là où aucun script ne tourne, comme sur GitHub, il y a le dessin seul, qui suffit.)

# %%
wrong = await stage.perform(scene, store="defects/unnamed.py")
stage.scrubber(wrong, "The server with the defect", show)
# fr: stage.scrubber(wrong, "Le serveur qui a le défaut", show)

# %% [markdown] lang="en"
# The defect is in its store. Here are all the methods that read or write:

# %% [markdown] lang="fr"
# Le défaut est dans son stockage. Voici toutes les méthodes qui lisent ou écrivent :

# %%
stage.source("defects/unnamed.py", "save", "page", "newest", "last", "find")

# %% [markdown] lang="en"
# **Which line is it?** Decide before you open what comes next.

# %% [markdown] lang="fr"
# **Quelle ligne est-ce ?** Décidez avant d'ouvrir ce qui suit.

# %%
lines = ("self._file.flush()", "if m.sequence > since", "[-count:]", "if m.id == id")
stage.ask("line", "Which line has the defect?", *lines)
# fr: stage.ask("line", "Quelle ligne a le défaut ?", *lines)

# %%
stage.reveal(line=codecs.decode("vs z.vq == vq", "rot13"))  # so that nobody reads it too early
# fr: stage.reveal(line=codecs.decode("vs z.vq == vq", "rot13"))  # pour que personne ne le lise trop tôt

# %% [markdown] lang="en"
# <details><summary>Why</summary>
#
# `find` is asked for what *this user* said under an id, and looks for what *anybody* said. When Bob says
# “two”, the server “knows its id” already: it is Alice's. So it takes Bob's message for a retry, stores
# nothing, and answers with Alice's “one”. Nobody ever receives “two”, and Bob's client may well take it for
# sent.
#
# `if (m.user, m.id) == (user, id)` is right. An id is unique only together with whoever made it up; ids that
# are drawn at random would hide this defect for years.
#
# What helped: to ask at each moment what everybody had seen, and to look for the *first* odd moment. Most of
# what is wrong after it follows from it.
# </details>
#
# The kit's scenes would not have shown it, for their ids are drawn at random. But `chatlab check` also calls
# a component directly, and asks its `find` for an id that somebody else has used.

# %% [markdown] lang="fr"
# <details><summary>Pourquoi</summary>
#
# On demande à `find` ce que *cet utilisateur* a dit sous un id, et il cherche ce que *n'importe qui* a dit.
# Quand Bob dit « deux », le serveur « connaît cet id » déjà : c'est celui d'Alice. Il prend donc le message
# de Bob pour un renvoi, n'enregistre rien, et répond par le « un » d'Alice. Personne ne reçoit jamais « deux
# », et le client de Bob peut bien le croire envoyé.
#
# `if (m.user, m.id) == (user, id)` est juste. Un id n'est unique qu'avec celui qui l'a choisi ; des ids tirés
# au hasard cacheraient ce défaut pendant des années.
#
# Ce qui a aidé : demander à chaque moment ce que chacun avait vu, et chercher le *premier* moment étrange.
# Presque tout ce qui est faux après lui en découle.
# </details>
#
# Les scènes du kit ne l'auraient pas montré, car leurs ids sont tirés au hasard. Mais `chatlab check` appelle
# aussi un composant directement, et demande à son `find` un id que quelqu'un d'autre a utilisé.
