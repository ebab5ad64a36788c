"""Published studies that need code of their own."""
