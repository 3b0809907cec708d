"""Adapter images: written and read as OCI, on disk or in a registry, in the layout that KAITO uses."""

from pathlib import Path


def pull_adapter(reference: str, adapter_digest: str, target: Path) -> Path:
    """Unpack an adapter out of its image into `target` and verify every digest on the way.

    Args:
        reference: `oci:<layout directory>@sha256:...` or `registry/name@sha256:...`, always by digest.
        adapter_digest: What `components.adapters.adapter_digest` must say of the result.
        target: A directory to make; it holds the adapter's two files, or is not there at all.

    Raises:
        DigestMismatch: The image holds something else.
        InvalidInput: There is no such image, or it is malformed or hostile (paths that leave `target`,
            links, devices, more bytes than announced).
    """
    raise NotImplementedError
