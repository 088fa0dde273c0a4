"""HAProxy on a public agent, routing to healthy Marathon tasks by labels, in the manner of Marathon-LB."""
