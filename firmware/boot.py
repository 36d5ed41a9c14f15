"""Runs before main.py, and does nothing that can fail."""
