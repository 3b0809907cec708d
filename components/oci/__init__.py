"""Images: what one is, its layers, the layout on disk, the registry, and adapter images on top of them."""
