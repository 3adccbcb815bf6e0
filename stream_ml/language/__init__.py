"""What a user writes: declarations, expressions, `fn`, and the loader of their file."""
