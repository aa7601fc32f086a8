"""Users that mostly read: `chatlab load --scenario harness/load/example_scenario.py`."""

from harness.load import User


class Reader(User):
    """Reads old history, says something now and then, and comes back later than others."""

    def act(self) -> None:
        """Half of the time read, a third talk, else go for a while."""
        chance = self.random.random()
        if chance < 0.5:
            self.look_back()
        elif chance < 0.85:
            self.say(f"I have read it all in {len(self.rooms)} rooms")
        else:
            self.reconnect(away=2 / self.pace)
