"""The tests: laws, witnesses and cases."""
