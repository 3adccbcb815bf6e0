"""Records: how bytes become columns, what is refused and why, and how files of history are read."""
