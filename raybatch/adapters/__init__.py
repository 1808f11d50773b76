"""Loaders for other frameworks; each module needs only the library that it is named after."""
