"""Requests by HTTP from a process of its own, so that what sends them costs the gateway no interpreter time."""
