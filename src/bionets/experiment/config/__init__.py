"""The configuration: schemas, overrides, hashes."""
