"""Jobs, and what clients do with them (API reference 4)."""
