"""What happened: events as data, a lenient reader of frames, and an index of who was where when."""
