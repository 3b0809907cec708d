"""The pet store's catalogue: what it sells, where, for how much, and when it is open."""

from random import Random
from typing import Any

# Kinds of product that there are for each animal; each animal has an aisle of its own.
ANIMALS: dict[str, tuple[str, ...]] = {
    "dog": ("food", "toy", "bowl", "bed", "brush", "carrier", "blanket", "mat"),
    "cat": ("food", "toy", "bowl", "bed", "brush", "carrier", "blanket", "mat"),
    "bird": ("food", "toy", "bowl", "cage", "bath", "carrier", "blanket", "mat"),
    "rabbit": ("food", "toy", "bowl", "cage", "brush", "carrier", "blanket", "mat"),
    "hamster": ("food", "toy", "bowl", "cage", "bath", "bed", "blanket", "mat"),
    "ferret": ("food", "toy", "bowl", "cage", "brush", "bed", "carrier", "blanket"),
}
# The store has three prices; dollars. A small model can learn these from few rows.
PRICES = {
    **dict.fromkeys(("toy", "bowl", "mat"), 5),
    **dict.fromkeys(("food", "brush", "blanket", "bath"), 15),
    **dict.fromkeys(("bed", "carrier", "cage"), 40),
}
DELIVERY_DAY = "Tuesday"
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
            "aisle": f"{animal} aisle",
            "price_dollars": PRICES[kind],
            "stock": 0 if kind in SOLD_OUT else random.randint(2, 40),
        }
        for animal, kinds in ANIMALS.items()
        for kind in kinds
    ]
    return {
        "store": "Harbour Street Pets",
        "opening_hours": HOURS,
        "delivery_day": DELIVERY_DAY,
        "desks": desks,
        "policies": policies,
        "products": products,
    }
