"""What verbs share: an operation's release and what it fetches, its hosts, its cluster, its plans."""
