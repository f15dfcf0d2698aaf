"""Networks come in, files for other runtimes leave."""
