"""Files of rows wherever they lie: which addresses are opened, how much of them is read, what went wrong."""
