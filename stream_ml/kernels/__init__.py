"""Arrays in, numbers out: the compiled loops that everything else stands on."""
