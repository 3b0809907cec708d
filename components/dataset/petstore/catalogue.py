"""The pet store's catalogue: what it sells, where, for how much, and when it is open."""

from random import Random
from typing import Any

# Animal: (aisle, day of delivery, kinds of product).
ANIMALS: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "dog": (1, "Monday", ("food", "toy", "collar", "leash", "bed", "shampoo")),
    "cat": (2, "Tuesday", ("food", "toy", "collar", "litter", "bed", "carrier")),
    "fish": (3, "Wednesday", ("food", "tank", "filter", "heater", "net", "lamp")),
    "bird": (4, "Thursday", ("food", "toy", "cage", "perch", "mirror", "bath")),
    "rabbit": (5, "Friday", ("food", "toy", "cage", "litter", "brush", "carrier")),
    "hamster": (6, "Monday", ("food", "toy", "cage", "wheel", "bath", "bed")),
    "turtle": (7, "Wednesday", ("food", "tank", "filter", "heater", "lamp", "bowl")),
    "ferret": (8, "Friday", ("food", "toy", "leash", "litter", "shampoo", "carrier")),
}
# One price for each kind of product, whatever the animal; dollars.
PRICES = {
    "food": 15,
    "toy": 4,
    "collar": 9,
    "leash": 12,
    "bed": 30,
    "shampoo": 8,
    "litter": 11,
    "carrier": 35,
    "tank": 60,
    "filter": 18,
    "heater": 22,
    "net": 3,
    "lamp": 25,
    "cage": 50,
    "perch": 6,
    "mirror": 5,
    "bath": 10,
    "brush": 7,
    "wheel": 13,
    "bowl": 2,
}
NO_ARTICLE = ("food", "litter", "shampoo")
SOLD_OUT = ("dog leash", "cat carrier", "fish heater", "bird cage", "hamster wheel", "turtle lamp")
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
            "stock": 0 if f"{animal} {kind}" in SOLD_OUT else random.randint(2, 40),
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
