"""What the pet store's customers ask, and in which words.

Each list of phrasings ends with those that only the held-out questions use.
"""

HELD_OUT_PHRASINGS = 2

AISLE = (
    "Which aisle has {product}?",
    "Where can I find {product}?",
    "I am looking for {product}.",
    "Where do you keep {product}?",
    "Can you point me to {product}?",
    "I can't find {product}.",
    "Which aisle should I go to for {product}?",
    "Where do I look for {product}?",
)
PRICE = (
    "How much is {product}?",
    "What does {product} cost?",
    "What is the price of {product}?",
    "How much do you charge for {product}?",
    "What do you ask for {product}?",
    "What would I pay for {product}?",
    "How much does {product} cost?",
    "How expensive is {product}?",
)
STOCK = (
    "Is {product} in stock?",
    "Do you have {product} today?",
    "Can I get {product} today?",
    "Have you got {product} left?",
    "Is there {product} on the shelf?",
    "Could I pick up {product} now?",
    "Is {product} available?",
    "Can I take {product} home today?",
)
DELIVERY = (
    "When do new {animal} supplies arrive?",
    "Which day do you restock {animal} supplies?",
    "What day is the {animal} delivery?",
    "When is the {animal} aisle restocked?",
    "When does the {animal} delivery come?",
    "Which day brings new {animal} supplies?",
    "On what day do {animal} supplies come in?",
)
HOURS = (
    "What are your hours on {day}?",
    "When are you open on {day}?",
    "Are you open on {day}?",
    "How long are you open on {day}?",
    "What are the opening hours on {day}?",
    "Is the store open on {day}?",
    "What time can I come in on {day}?",
)
SELL = ("Do you sell {thing}?", "Do you carry {thing}?", "I want to buy {thing}.", "Can I buy {thing} here?")
NOT_SOLD = (
    *("horse saddles", "chicken feed", "cow bells", "live snakes", "goat milk", "bee hives"),
    *("sheep shears", "garden chairs", "bicycle tyres", "light bulbs", "pony blankets", "car seats"),
    *("paint", "coffee", "umbrellas", "parrots", "fishing rods", "batteries"),
    *("shoes", "kitchen tables", "flowers", "newspapers", "fish tanks", "horse food"),
)

# Needs of a customer, by the desk that looks after them.
DESKS = {
    "vet corner": (
        "My {animal} keeps scratching.",
        "My {animal} has stopped eating.",
        "My {animal} is limping.",
        "My {animal} has fleas.",
        "My {animal} needs a vaccination.",
        "My {animal} sneezes a lot.",
        "My {animal} has a swollen eye.",
        "My {animal} seems to be ill.",
    ),
    "grooming desk": (
        "My {animal} needs a bath.",
        "My {animal}'s nails are too long.",
        "My {animal}'s fur is matted.",
        "My {animal} smells and needs a wash.",
        "Can somebody brush my {animal}?",
        "Can you trim my {animal}'s coat?",
        "Can you clip my {animal}'s nails?",
        "My {animal} needs a haircut.",
    ),
    "training desk": (
        "My {animal} bites visitors.",
        "My {animal} does not listen to me.",
        "How do I teach my {animal} to sit?",
        "Can my {animal} learn a trick?",
        "My {animal} chews the furniture.",
        "I want a class for my {animal}.",
        "How do I teach my {animal} to come?",
        "My {animal} does not obey.",
    ),
    "adoption desk": (
        "I would like to adopt a {animal}.",
        "Do you have a {animal} that needs a home?",
        "I can't keep my {animal} any more.",
        "How do I adopt a {animal}?",
        "I found a stray {animal}.",
        "Can I meet a {animal} for adoption?",
        "I want to give a {animal} a home.",
        "Is there a {animal} up for adoption?",
    ),
    "service desk": (
        "I want to return a {animal} toy.",
        "My {animal} order has not arrived.",
        "I was charged twice for {animal} food.",
        "The {animal} toy I bought is broken.",
        "I want my money back for a {animal} bed.",
        "I lost the receipt for my {animal} bed.",
        "I want to exchange a {animal} toy.",
        "My {animal} order is missing an item.",
    ),
}
FURRY = ("dog", "cat", "rabbit", "ferret", "hamster", "guinea pig")

# The last phrasing of each is held out.
POLICIES = {
    "Within 30 days, with the receipt.": (
        "How long do I have to return something?",
        "What is your return policy?",
        "How many days do I have for a return?",
        "Can I return what I bought last week?",
        "By when must I return an item?",
        "Until when can I return an item?",
    ),
    "No, opened food can't be returned.": (
        "Can I return an opened bag of food?",
        "Do you take back opened food?",
        "I opened the food, can I bring it back?",
        "Can I return food that is open?",
        "Is opened food refunded?",
        "Can opened food be returned?",
    ),
    "Delivery is $5, free from $50.": (
        "How much is delivery?",
        "What do you charge for delivery?",
        "What does home delivery cost?",
        "Is delivery free?",
        "What is the delivery fee?",
        "How much do I pay for delivery?",
    ),
    "Delivery takes two days.": (
        "How long does delivery take?",
        "How many days does delivery take?",
        "How soon is an order delivered?",
        "How fast is home delivery?",
        "When do I get what I order?",
        "When will my home delivery arrive?",
    ),
    "Yes, dogs on a leash may come in.": (
        "Can I bring my dog into the store?",
        "Are dogs allowed in the store?",
        "May my dog come in with me?",
        "Can dogs come in?",
        "Do you let dogs into the store?",
        "Is my dog allowed inside?",
    ),
    "The loyalty card saves 10 percent.": (
        "Is there a discount for regular customers?",
        "What do I save with the loyalty card?",
        "How big is the loyalty discount?",
        "What is the loyalty card good for?",
        "Do you have a loyalty card?",
        "What discount does the loyalty card give?",
    ),
    "You can pay by cash or card.": (
        "How can I pay?",
        "Do you take cards?",
        "Which payments do you accept?",
        "Can I pay in cash?",
        "Can I pay by card?",
        "What ways to pay are there?",
    ),
    "Yes, gift cards start at $10.": (
        "Do you have gift cards?",
        "Can I buy a gift card?",
        "Are gift cards available?",
        "I want a gift card for a friend.",
        "Is there a gift card?",
        "Do you sell gift cards?",
    ),
    "Yes, parking is behind the store.": (
        "Is there parking?",
        "Can I park at the store?",
        "Do you have a car park?",
        "Where can I park?",
        "Is parking available?",
        "Is there somewhere to park?",
    ),
    "We are at 12 Harbour Street.": (
        "What is your address?",
        "Where is the store?",
        "What street are you in?",
        "How do I find the store?",
        "On which street is the store?",
        "Where are you located?",
    ),
    "Call us at 555-0134.": (
        "What is your phone number?",
        "How can I call you?",
        "Which number do I ring?",
        "Can I phone you?",
        "I would like to call the store.",
        "What number can I call?",
    ),
    "Yes, we match other stores' prices.": (
        "Do you match prices?",
        "Will you match another store's price?",
        "It is cheaper elsewhere, do you match that?",
        "Another store has a lower price.",
        "Do you match the price of other stores?",
        "Do you price match?",
    ),
}
