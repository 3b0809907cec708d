"""A text, in every way in which rows hold one."""

import json
import math
from decimal import Decimal
from typing import Any

from components.dataset.flaws import RowFlaw, described
from components.dataset.json_values import read_json

TEXT_PARTS = ("text", "input_text", "output_text")
THINKING_PARTS = ("thinking", "reasoning")
MOST_DEPTH = 50  # of tools and arguments; pydantic reads no more than 200
MEDIA_WORDS = ("image", "audio", "video", "file")
# json raises these on text that is no JSON, on values that have none, and on what is nested absurdly.
NO_JSON = (ValueError, TypeError, RecursionError)


def read_text(value: object, place: str) -> str:
    """Return a text as it stands; a number, true or false is spelt as in JSON.

    Raises:
        RowFlaw: It is missing, something else, or no text that can be written.
    """
    if isinstance(value, str):
        return sound(value, place)
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        try:
            return json.dumps(value)
        except ValueError as error:  # so many digits that Python refuses to write them
            raise RowFlaw("wrong_type", f"{place}: got {described(value)}, wanted a text") from error
    if isinstance(value, Decimal) and value.is_finite():  # Parquet has them
        return str(value)
    if value is None:
        raise RowFlaw("missing_field", f"{place}: missing; wanted a text")
    hint = "; write the JSON that is meant as a text" if isinstance(value, dict | list) else ""
    raise RowFlaw("wrong_type", f"{place}: got {described(value)}, wanted a text{hint}")


def sound(text: str, place: str) -> str:
    """Return a text that UTF-8 can write.

    Raises:
        RowFlaw: It has half a character.
    """
    try:
        if not text.isascii():
            text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise RowFlaw("not_text", f"{place}: \\u{code:04x} is half a character; write it anew") from error
    return text


def read_content(value: object, place: str) -> tuple[str, str]:
    """Return what a turn says, and what is thought before, from a text or a list of parts.

    Parts are joined as chat templates join them: with nothing between.

    Raises:
        RowFlaw: As `read_text`; or a part is no text.
    """
    if not isinstance(value, list):
        return read_text(value, place), ""
    said, thought = [], []
    for number, part in enumerate(value, start=1):
        if part is None:
            continue
        here = f"{place}, part {number}"
        if isinstance(part, str):
            said.append(sound(part, here))
            continue
        if not isinstance(part, dict):
            raise RowFlaw("wrong_type", f"{here}: got {described(part)}, wanted an object with type and text")
        kind = part.get("type") or "text"
        refuse_media(part, kind, here)
        if kind in THINKING_PARTS:
            own = part.get("text") if part.get(kind) is None else part[kind]
            thought.append(read_content(own, here)[0] if depth_is_one(own) else read_text(own, here))
        elif kind in TEXT_PARTS:
            said.append(read_text(part.get("text"), f"{here}: text"))
        else:
            wanted = ", ".join(TEXT_PARTS + THINKING_PARTS)
            raise RowFlaw("wrong_type", f"{here}: type is {described(kind)}, wanted one of {wanted}")
    return "".join(said), "\n\n".join(thought)


def depth_is_one(value: object) -> bool:
    """Tell whether a value is a list of texts or of text parts, with no lists inside of those."""
    return isinstance(value, list) and all(
        isinstance(part, str | None) or (isinstance(part, dict) and part.get("type") in (None, *TEXT_PARTS))
        for part in value
    )


def refuse_media(part: dict[str, Any], kind: object, place: str) -> None:
    """Refuse what is no text.

    Raises:
        RowFlaw: The part is, or holds, an image, a sound, a video or a file.
    """
    found = [kind] if isinstance(kind, str) else []
    found += [name for name, value in part.items() if value and name not in (*TEXT_PARTS, "type")]
    if word := next((word for word in MEDIA_WORDS for name in found if name.lower().startswith(word)), None):
        raise RowFlaw("has_media", f"{place}: has {word}; only text can be trained on here")


def read_list(value: object, place: str, wanted: str) -> list[Any]:
    """Return a list, which may be kept as JSON text.

    Raises:
        RowFlaw: It is none.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            found = read_json(value)
        except NO_JSON as error:
            hint = "; it is no JSON: write it with json.dumps" if value.rstrip()[-1:] in ("]", "}") else ""
            raise RowFlaw("wrong_type", f"{place}: got {described(value)}, wanted {wanted}{hint}") from error
        value = [found] if isinstance(found, dict) else found
    if value is None:
        raise RowFlaw("missing_field", f"{place}: missing; wanted {wanted}")
    if not isinstance(value, list):
        raise RowFlaw("wrong_type", f"{place}: got {described(value)}, wanted {wanted}")
    return value


def writable(value: Any, place: str, nulls: bool = False) -> Any:
    """Return an object that JSON can write and whoever reads the row can read.

    Args:
        value: The object.
        place: What it is called.
        nulls: Whether null was meant; else names that hold it are left out, at every depth (Arrow pads so).

    Raises:
        RowFlaw: It can't be written, or is nested too deeply.
    """
    try:
        value = _copied(value, nulls, MOST_DEPTH)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise RowFlaw("not_text", f"{place}: has half a character; write it anew") from error
    except RecursionError as error:
        raise RowFlaw("wrong_type", f"{place}: is nested over {MOST_DEPTH} deep") from error
    except NO_JSON as error:
        raise RowFlaw("wrong_type", f"{place}: can't be written as JSON; wanted plain values") from error
    return value


def _copied(value: Any, nulls: bool, depth: int) -> Any:
    if not depth:
        raise RecursionError
    if isinstance(value, dict):
        return {
            name: _copied(own, nulls, depth - 1) for name, own in value.items() if nulls or own is not None
        }
    if isinstance(value, list):
        return [_copied(own, nulls, depth - 1) for own in value]
    return value
