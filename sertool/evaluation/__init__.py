"""From held-out items to a report: protocol, leaks, metrics, intervals."""
