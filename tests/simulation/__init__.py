"""Histories of lanes, settlement, jobs and runs in virtual time, on the decision functions of `domain`."""
