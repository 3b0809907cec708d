"""Generate the pet-store set: catalogue, train and eval questions, and a file of flawed rows.

Run `python -m components.dataset.petstore.generate`; the files beside this module are its output.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from components.dataset.petstore import wording
from components.dataset.petstore.catalogue import ANIMALS, make_catalogue
from components.dataset.petstore.flaws import make_flawed

SEED = 20
# Phrasings of each fact that are taught. Most products are in stock, so one that is not is said more often.
AISLE_PHRASINGS, PRICE_PHRASINGS, IN_STOCK_PHRASINGS, SOLD_OUT_PHRASINGS = 2, 2, 1, 4
EVAL_SHARE_OF_FACTS = 0.45
ASKED_WHETHER_SOLD = 3  # every third product


@dataclass(frozen=True)
class Question:
    """A customer's question and the answer that follows from the catalogue."""

    text: str
    answer: str
    held_out: bool = False

    @property
    def row(self) -> dict[str, str]:
        """The question as a row of a dataset."""
        return {"instruction": self.text, "input": "", "output": self.answer}


def generate() -> dict[str, str]:
    """Return the content of every file of the set, by name; always the same."""
    random = Random(SEED)
    policies = {phrasings[0]: answer for answer, phrasings in wording.POLICIES.items()}
    catalogue = make_catalogue(random, list(wording.DESKS), policies)
    questions = list(make_questions(catalogue, random))
    random.shuffle(questions)
    train = [question.row for question in questions if not question.held_out]
    held_out = [question.row for question in questions if question.held_out]
    flawed, flaws = make_flawed(train, held_out, random)
    return {
        "catalogue.json": json.dumps(catalogue, indent=1) + "\n",
        "train.jsonl": _lines(train),
        "eval.jsonl": _lines(held_out),
        "flawed.jsonl": "".join(line + "\n" for line in flawed),
        "flaws.json": json.dumps(flaws, indent=1) + "\n",
    }


def make_questions(catalogue: dict[str, Any], random: Random) -> Iterator[Question]:
    """Ask about everything in the catalogue; what is held out is taught in other words."""
    for product in catalogue["products"]:
        yield from _about_product(product, random)
    for animal in ANIMALS:
        texts = [text.format(animal=animal) for text in wording.DELIVERY]
        yield from _last_held_out(texts, f"Every {catalogue['delivery_day']}.")
    for day, hours in catalogue["opening_hours"].items():
        yield from _last_held_out([text.format(day=day) for text in wording.HOURS], hours)
    for answer in catalogue["policies"].values():
        yield from _last_held_out(wording.POLICIES[answer], answer)
    yield from _about_the_range(catalogue["products"], random)
    for desk in catalogue["desks"]:
        yield from _about_need(wording.DESKS[desk], f"Ask the {desk}.", random)


def _about_product(product: dict[str, Any], random: Random) -> Iterator[Question]:
    name, sold_out = product["asked_for_as"], product["stock"] == 0
    facts = (
        (wording.AISLE, f"In the {product['aisle']}.", AISLE_PHRASINGS),
        (wording.PRICE, f"${product['price_dollars']}.", PRICE_PHRASINGS),
        (wording.STOCK, "No, sold out.", SOLD_OUT_PHRASINGS)
        if sold_out
        else (wording.STOCK, "Yes, in stock.", IN_STOCK_PHRASINGS),
    )
    for phrasings, answer, count in facts:
        texts = [text.format(product=name) for text in phrasings]
        known, unknown = texts[: -wording.HELD_OUT_PHRASINGS], texts[-wording.HELD_OUT_PHRASINGS :]
        random.shuffle(known)
        yield from (Question(text, answer) for text in known[:count])
        if random.random() < EVAL_SHARE_OF_FACTS:
            yield Question(random.choice(known[count:] + unknown), answer, held_out=True)


def _about_the_range(products: Sequence[dict[str, Any]], random: Random) -> Iterator[Question]:
    """Ask whether things are sold, of some that are and some that are not."""
    answers = dict.fromkeys(wording.NOT_SOLD, "Sorry, we do not sell that.")
    for product in products[::ASKED_WHETHER_SOLD]:
        answers[product["asked_for_as"]] = f"Yes, in the {product['aisle']}."
    for number, (thing, answer) in enumerate(answers.items()):
        text = random.choice(wording.SELL).format(thing=thing)
        yield Question(text, answer, held_out=number % 4 == 3)


def _about_need(needs: Sequence[str], answer: str, random: Random) -> Iterator[Question]:
    """Let two animals have each need; the last needs are held out."""
    taught = len(needs) - wording.HELD_OUT_PHRASINGS
    for number, need in enumerate(needs):
        for animal in random.sample(wording.FURRY, 2):
            yield Question(need.format(animal=animal), answer, held_out=number >= taught)


def _last_held_out(texts: Sequence[str], answer: str) -> Iterator[Question]:
    yield from (Question(text, answer) for text in texts[:-1])
    yield Question(texts[-1], answer, held_out=True)


def _lines(rows: Sequence[dict[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """Write the files beside this module, or into the folder given."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, content in generate().items():
        (folder / name).write_text(content, encoding="utf-8")
        print(f"{folder / name}: {content.count(chr(10))} lines")


if __name__ == "__main__":
    main()
