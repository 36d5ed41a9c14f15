"""What brings a registry of an older Fanal to this one's tables, one step for each version.

Read by Alembic as files. A step is never changed again: files of every age are out there, and what
today's tables look like is not what they looked like then. A table is not made anew for a new
column (`recreate="never"`): that would drop one that others refer to.
"""
