"""`python -m fanal` is `fanal`."""

from fanal.cli import main

main(prog_name="fanal")
