"""The main job: an operator's day from an empty account to a replayed cluster, with a report."""
