"""What happened: events, as data; frames read leniently; and the index that answers "who was where when?"."""
