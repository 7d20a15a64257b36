"""Many jobs from a file: read, sent, followed, saved; through crashes, rate limits and reboots."""
