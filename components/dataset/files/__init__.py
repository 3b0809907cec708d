"""Files of rows: read as they arrive, whatever their format, into rows that know where they stood."""
