"""What was declared, begun, done and saved: entries, chain, stores, lock, releases, mirror."""
