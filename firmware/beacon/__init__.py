"""What runs on a beacon. What decides is pure; what touches hardware is thin and is passed in."""

VERSION = "0.1.0"
PROTOCOL = 1
