"""The pet store's catalogue: what it sells, where, for how much, and when it is open."""

from random import Random
from typing import Any

# Animal: (aisle, day of delivery, kinds of product).
ANIMALS: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "dog": (1, "Monday", ("food", "toy", "bowl", "bed", "brush", "carrier", "blanket", "mat")),
    "cat": (2, "Tuesday", ("food", "toy", "bowl", "bed", "brush", "carrier", "blanket", "mat")),
    "bird": (3, "Wednesday", ("food", "toy", "bowl", "cage", "bath", "carrier", "blanket", "mat")),
    "rabbit": (4, "Thursday", ("food", "toy", "bowl", "cage", "brush", "carrier", "blanket", "mat")),
    "hamster": (5, "Friday", ("food", "toy", "bowl", "cage", "bath", "bed", "blanket", "mat")),
    "ferret": (6, "Saturday", ("food", "toy", "bowl", "cage", "brush", "bed", "carrier", "blanket")),
}
# One price for each kind of product, whatever the animal; dollars.
PRICES = {
    "food": 15,
    "toy": 4,
    "bowl": 6,
    "bed": 30,
    "brush": 8,
    "carrier": 40,
    "blanket": 12,
    "mat": 9,
    "cage": 50,
    "bath": 10,
}
NO_ARTICLE = ("food",)
SOLD_OUT = ("carrier",)
WEEKDAY, SATURDAY, SUNDAY = "From 9 am to 7 pm.", "From 9 am to 6 pm.", "Closed."
HOURS = {
    "Monday": WEEKDAY,
    "Tuesday": WEEKDAY,
    "Wednesday": WEEKDAY,
    "Thursday": WEEKDAY,
    "Friday": WEEKDAY,
    "Saturday": SATURDAY,
    "Sunday": SUNDAY,
}


def make_catalogue(random: Random, desks: list[str], policies: dict[str, str]) -> dict[str, Any]:
    """Return the catalogue, as it is shipped.

    Args:
        random: Draws how many pieces there are of each product that is not sold out.
        desks: The desks that look after customers.
        policies: Answers by the question that they are filed under.
    """
    products = [
        {
            "name": f"{animal} {kind}",
            "asked_for_as": f"{animal} {kind}" if kind in NO_ARTICLE else f"a {animal} {kind}",
            "animal": animal,
            "aisle": aisle,
            "price_dollars": PRICES[kind],
            "stock": 0 if kind in SOLD_OUT else random.randint(2, 40),
            "delivery_day": day,
        }
        for animal, (aisle, day, kinds) in ANIMALS.items()
        for kind in kinds
    ]
    return {
        "store": "Harbour Street Pets",
        "opening_hours": HOURS,
        "desks": desks,
        "policies": policies,
        "products": products,
    }
