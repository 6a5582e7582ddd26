"""What everything builds on: errors, seeds, paths, settings, plug-ins, worker processes."""
