"""Workers, from how many there should be to their processes (API reference 5)."""
