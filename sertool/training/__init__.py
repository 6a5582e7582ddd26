"""Training: parts, statistics, batches and the loop; nothing here knows a paper's name."""
