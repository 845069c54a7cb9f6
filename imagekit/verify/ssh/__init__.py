"""The view of a machine that runs: what its files say, fetched in a handful of round trips, nothing written there."""
