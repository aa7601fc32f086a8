import asyncio


async def talk(ada):
    """Say so much that it takes a while."""
    for number in range(1, 41):
        await ada.say("red", f"this is number {number}.")


async def test_no_message_is_lost_or_comes_twice_at_the_seam(chat_client):
    """However often bob comes back while ada talks."""
    ada = await chat_client("ada")
    bob = await chat_client("bob")
    await ada.join("red")
    await bob.join("red")
    talking = asyncio.create_task(talk(ada))
    while not talking.done():
        await bob.reset()
        await bob.connect()
        await bob.join("red", since=bob.newest("red"))
        await asyncio.sleep(0.02)
    await talking
    await bob.hears("red", "this is number 40.")
    assert bob.numbers("red") == list(range(1, 41))
