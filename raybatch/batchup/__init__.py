"""BatchUp's names, arguments and random draws, over raybatch's sources, samplers and pools."""
