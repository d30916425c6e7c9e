"""A builder a corpus."""
