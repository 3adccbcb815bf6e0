"""Features: windows, points and look-ups of every key, brought through a turn column by column."""
