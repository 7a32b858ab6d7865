"""The world: rooms, furniture, cameras, and what moves on its own."""
