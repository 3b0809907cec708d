"""The release graph and the ways to start it."""
