async def test_what_was_heard_survives_a_kill(chat_client, chat_server):
    """For somebody who comes after it."""
    ada = await chat_client("ada")
    await ada.join("red")
    await ada.say("red", "remember")
    await ada.say("red", "this")
    await chat_server.kill()
    await chat_server.start()
    bob = await chat_client("bob")
    await bob.join("red", since=0)
    assert bob.heard("red") == ["remember", "this"]
