"""The forms that a row may have, and how each becomes a conversation."""
