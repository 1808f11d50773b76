"""Files, folders and archives on this machine, in stores and at URLs."""
