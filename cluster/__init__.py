"""raybatch on several machines; `README.md` says what there is."""
