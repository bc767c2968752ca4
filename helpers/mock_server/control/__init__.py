"""What the server is set to and what it saw: settings, faults, limits, the journal, /mock."""
