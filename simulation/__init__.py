"""A made-up branch of life with a known history: how it evolved, what it looks like, how it was photographed."""
