"""Measurements of a user's own data and machine: `mv2mae bench`."""
