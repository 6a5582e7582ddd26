"""Kind `voice`: what a voice does over time, and statistics of it."""
