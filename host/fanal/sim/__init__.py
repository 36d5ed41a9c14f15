"""The virtual bench: real firmware, real interpreter, virtual air."""
