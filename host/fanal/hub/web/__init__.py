"""The page of the hub, its JSON API, and the door through which listeners deliver."""
