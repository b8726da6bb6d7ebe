"""What runs in the fork server and in the cases forked from it.

Imports nothing of the rest of potstill and little of the standard library: every page in use here
is copied for every case.
"""
