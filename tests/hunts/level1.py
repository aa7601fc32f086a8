async def test_who_speaks_hears_it(chat_client):
    """Both the speaker and another member receive the message."""
    ada = await chat_client("ada")
    bob = await chat_client("bob")
    await ada.join("red")
    await bob.join("red")
    await ada.say("red", "hello")
    await bob.hears("red", "hello")
    assert ada.heard("red") == bob.heard("red") == ["hello"]
