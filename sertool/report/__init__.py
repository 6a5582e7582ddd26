"""Reports for people: tables in the terminal and figures."""
