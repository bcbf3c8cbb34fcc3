"""The verbs of a ledger, by what they are for."""
