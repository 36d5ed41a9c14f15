"""The `fanal` command: parses, calls, prints, sets the exit code."""
