"""raybatch on several machines; start with `README.md`."""
