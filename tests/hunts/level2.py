async def is_there(ada, room):
    """Whether ada is told that bob is in a room: who has left may be missing, or be offline."""
    return (await ada.sees(room)).get("bob", "offline") != "offline"


async def test_who_leaves_is_gone(chat_client):
    """By `leave`."""
    ada = await chat_client("ada")
    bob = await chat_client("bob")
    await ada.join("red")
    await bob.join("red")
    assert await is_there(ada, "red")
    await bob.leave("red")
    assert not await is_there(ada, "red")


async def test_whose_connection_ends_is_gone_from_all_rooms(chat_client):
    """From each that he was in."""
    ada = await chat_client("ada")
    bob = await chat_client("bob")
    for room in ("red", "blue"):
        await ada.join(room)
        await bob.join(room)
    await bob.close()
    eve = await chat_client("eve")
    await eve.join("red")
    for room in ("red", "blue"):
        assert not await is_there(ada, room)
