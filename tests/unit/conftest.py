"""Hypothesis for all unit tests: no deadline, since a busy machine is not a failure."""

from hypothesis import settings

settings.register_profile("fanal", deadline=None)
settings.load_profile("fanal")
