"""The release card, and the words of it that the terminal shows."""
