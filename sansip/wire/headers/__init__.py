"""Typed header field values, one kind per file."""
