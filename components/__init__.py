"""The stages of a release, one folder each, and what they all stand on."""
