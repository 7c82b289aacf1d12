"""`bench selfcheck`: does the harness itself measure what it says."""
