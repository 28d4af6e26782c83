"""The bundle: a folder with graphs, weights and the manifest that describes them."""
