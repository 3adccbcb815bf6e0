"""The scorer: decode, features, join; served features wait here for their label."""
