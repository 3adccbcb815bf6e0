"""One tree of settings, read once: operations only, nothing that changes answers."""
