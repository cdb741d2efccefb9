"""Arrays in, arrays out: the statistics, without storage, clock or global random state."""
