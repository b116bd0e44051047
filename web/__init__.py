"""Requests in, answers out. Reads the database; writes go through a use case or a queue; never speaks to WPS."""
