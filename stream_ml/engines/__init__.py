"""Engines: clocks, sockets, files and SQL; they carry out turns."""
