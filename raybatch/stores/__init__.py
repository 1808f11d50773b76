"""Files, folders and archives: here, in stores and at URLs; and files that appear whole."""
