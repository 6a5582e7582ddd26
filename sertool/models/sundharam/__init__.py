"""Sundharam & Johari, "Audio emotion classification using deep learning"."""
