"""BatchUp's names, arguments and draws, over raybatch's own sources, samplers and pools."""
