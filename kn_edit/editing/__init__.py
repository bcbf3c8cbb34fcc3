"""How an edit is made: what it asks, where it looks, what it solves, what judges it."""
