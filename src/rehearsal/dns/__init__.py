"""Names as the Route 53 API describes them, with its health checks."""
