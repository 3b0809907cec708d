"""The image stage: the adapter pushed as an OCI image and registered."""
