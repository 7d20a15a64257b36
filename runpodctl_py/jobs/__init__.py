"""The life of one job on our side: the ledger, following it, and its files."""
