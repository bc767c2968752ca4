"""What is said: words, JSON for a schema and calls of tools, cut into tokens."""
