"""An index: one name for the same image on several platforms.

Format: the OCI Image Format Specification 1.1, image-index.md.
"""

import platform
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.errors import InvalidInput
from components.oci.image import INDEX_TYPE, INDEX_TYPES, Descriptor
from components.web import quoted

MAX_IMAGES = 1000
SHOWN = 5
# What the rest of the world calls a machine, by what its images are called.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class _Platform(BaseModel):
    architecture: str
    os: str

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"


class _Image(Descriptor):
    platform: _Platform | None = None


class _Index(BaseModel):
    model_config = ConfigDict(frozen=True)

    media_type: str = Field(INDEX_TYPE, validation_alias="mediaType")
    manifests: tuple[_Image, ...] = Field(max_length=MAX_IMAGES)
    config: None = None  # of something that would be an image as well


def image_of(content: bytes, name: str) -> Descriptor | None:
    """Return which image of an index is meant: that of this machine's platform, or the only one.

    Args:
        content: A manifest or an index.
        name: What it is called in an error.

    Returns:
        None: It is no index.

    Raises:
        InvalidInput: It has neither.
    """
    try:
        index = _Index.model_validate_json(content)
    except ValidationError:
        return None  # whoever reads it as a manifest says what is wrong
    if index.media_type not in INDEX_TYPES:
        return None
    # What says how an image was built stands beside it, for a platform that there is not.
    images = [image for image in index.manifests if str(image.platform) != "unknown/unknown"]
    own = _Platform(os="linux", architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()))
    for found in ([image for image in images if image.platform == own], images):
        if len(found) == 1:
            return found[0]
    raise InvalidInput(name, [_problem(images, own)])


def _problem(images: Sequence[_Image], own: _Platform) -> str:
    listed = [f"{image.platform or 'any'} ({image.digest})" for image in images]
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    there = quoted(", ".join(listed[:SHOWN]), 600) or "none"
    return f"is an index in which not one image is for {own}: there are {there}{more}; name one by its digest"
