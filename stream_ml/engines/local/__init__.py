"""The local engine: one SQLite file holds log, journal, snapshots and outputs; one worker a pipeline."""
