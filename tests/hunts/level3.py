async def test_who_joins_reads_the_newest_50(chat_client):
    """Of more than 50, and in rising order."""
    ada = await chat_client("ada")
    await ada.join("red")
    for number in range(60):
        await ada.say("red", f"this is number {number}")
    bob = await chat_client("bob")
    await bob.join("red")
    assert bob.numbers("red") == list(range(11, 61))
