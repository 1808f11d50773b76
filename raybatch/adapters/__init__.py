"""Loaders for other frameworks; each module needs the library that it is named after, and no other does."""
