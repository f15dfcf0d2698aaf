"""Export: networks as files for other runtimes."""
