"""Starts and watches the servers the gateway works with. Not part of the distribution."""
