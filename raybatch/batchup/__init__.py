"""BatchUp's names, arguments and draws, on raybatch's own sources, samplers and pools."""
