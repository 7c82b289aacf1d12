"""`bench compare`: two commits timed side by side, and the verdict on each cell."""
