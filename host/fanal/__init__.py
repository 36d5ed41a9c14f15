"""Fanal: provision, verify and hear beacons."""
