"""What a user's declarations compile to: frozen data that the machines run."""
