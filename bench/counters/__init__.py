"""`bench counters`: what runs cost in calls, passes and reads of X, counted and not timed."""
