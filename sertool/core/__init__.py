"""What every room stands on: errors, seeds, paths, settings, plug-ins, worker processes."""
