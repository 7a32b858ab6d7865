"""People: their bodies, what an action asks of them, and what they have in their hands."""
