"""What every command shares: options, progress, errors, and how numbers are shown."""
