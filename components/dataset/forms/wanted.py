"""Whether a row's answer is one to learn."""

from typing import Any, Literal

from components.dataset.flaws import RowFlaw, described, excerpt
from components.dataset.forms.fields import Fields

Preferences = Literal["refuse", "chosen"]


def check_wanted(row: dict[str, Any], fields: Fields, preferences: Preferences, unused: set[str]) -> None:
    """Refuse what is no text, what is not wanted, and preferences unless they were asked for.

    Args:
        row: The row.
        fields: What its fields are.
        preferences: Whether the chosen answer of a pair may be used.
        unused: Gets the rejected answer and labels that say something else.

    Raises:
        RowFlaw: The row is not to be trained on.
    """
    for name in fields.media:
        if row[name]:
            raise RowFlaw("has_media", f"has {excerpt(name)}; only text can be trained on here")
    for name in fields.needed:
        # Turns say all that is said, but documents go through chat templates beside them.
        if fields.messages and name.strip().lower() != "documents":
            unused.add(name)
            continue
        name = excerpt(name)
        why = f"has {name}, which the question may need: say columns=context={name}, or unused={name}"
        raise RowFlaw("ambiguous", why)
    for name in fields.labels + fields.wanted:
        wanted = _wanted(row[name], excerpt(name), said=name in fields.wanted)
        if wanted is None:
            unused.add(name)
        elif not wanted:
            name = excerpt(name)
            why = f"{name} is false: its answer is one not to learn (else say columns=unused={name})"
            hint = "" if preferences == "chosen" else "; preferences=chosen leaves such rows out uncounted"
            raise RowFlaw("unwanted_answer", why + hint)
    if fields.chosen or fields.rejected:
        if preferences == "refuse":
            names = " and ".join(excerpt(name) for name in (*fields.chosen, *fields.rejected)[:2])
            why = f"has {names}: preferences=chosen trains on the wanted answers and leaves the others out"
            raise RowFlaw("preference", why)
        unused.update(fields.rejected)


def _wanted(value: object, name: str, said: bool) -> bool | None:
    """Tell whether an answer is wanted; None where the field says something else."""
    word = value.strip().lower() if isinstance(value, str) else value
    if isinstance(word, bool) or word in ("true", "false"):
        return word in (True, "true")
    if said and word in (0, 1, "0", "1", "0.0", "1.0"):
        return word in (1, "1", "1.0")
    if said:
        raise RowFlaw("wrong_type", f"{name}: got {described(value)}, wanted true or false")
    if word in (0, 1, "0", "1", "0.0", "1.0"):
        why = f"{name} is {word}: say columns=label={name} if 0 is an unwanted answer, else unused={name}"
        raise RowFlaw("ambiguous", why)
    return None
