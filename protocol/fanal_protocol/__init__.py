"""The Fanal packet protocol, version 1: pure functions, the same files on both interpreters."""
