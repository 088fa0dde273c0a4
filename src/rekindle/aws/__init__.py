"""AWS by region: clients, and what is asked of them. Alone imports boto3."""
