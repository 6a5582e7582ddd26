"""Huang et al., "Speech emotion recognition using CNN" (ACM Multimedia 2014)."""
