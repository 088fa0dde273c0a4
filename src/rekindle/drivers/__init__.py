"""One module for each kind of subject: reads and writes it."""
