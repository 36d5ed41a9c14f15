"""The hub: opens what listeners sealed, makes incidents of it, and gets help moving."""
