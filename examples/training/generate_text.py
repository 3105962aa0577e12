"""Writes the example texts: short stories and sums, from our own word lists and grammar.

    python generate_text.py            # ../data/*.jsonl and .cache/train-*.jsonl

Everything follows from SEED. A document belongs to one split only: documents are compared by hash,
and the numbers asked for in validation and in sums.jsonl never occur, with the same operation, in training.
"""

import hashlib
import json
import random
from pathlib import Path

SEED = 20240
HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
CACHE = HERE / ".cache"

CALIBRATION_DOCUMENTS = 256
VALIDATION_DOCUMENTS = 120
SUMS_ROWS = 200
TRAIN_STORIES = 36_000
TRAIN_SUMS = 400_000

GIRLS = "Mila Anna Rosa Nora Ella Ida Lucy Maya Clara Jane Zoe Hanna Lena Ruth Vera Polly".split()
BOYS = "Tom Ben Max Leo Sam Finn Oscar Paul Jack Hugo Emil Noah Ivan Felix Carl Otto".split()
COLOURS = "red blue green yellow white black brown orange purple silver".split()
TOYS = "kite ball drum boat doll train bell puppet whistle robot lantern basket scarf umbrella".split()
PLACES = [
    "in the garden", "at the beach", "in the park", "by the river", "in the forest", "on the hill",
    "at the market", "by the lake", "on the farm", "at the school",
]
HIDING = [
    "under the old bridge", "behind the big tree", "under the bed", "inside the barn", "behind the door",
    "under a wooden bench", "beside the well", "between two rocks",
]
ANIMALS = "cat dog rabbit duck goat pony hen lamb".split()
FURS = "brown white black grey spotted".split()
FOODS = ["bread", "soup", "honey cake", "apple pie", "warm milk", "cheese", "pancakes", "berry jam"]
WEATHER = ["rain", "snow", "a strong wind", "thick fog", "a loud storm"]
HELPERS = ["grandmother", "grandfather", "mother", "father", "aunt", "uncle", "teacher", "neighbour"]
TIMES = ["One morning", "One afternoon", "One summer day", "One cold day", "On Sunday", "After school", "Early one day"]
JOBS = {
    "wheel": "a hammer", "string": "a needle", "handle": "some glue", "lid": "a small nail", "strap": "a piece of leather",
}
TRAITS = ["kind", "brave", "shy", "clever", "quiet", "cheerful", "careful", "curious"]
MOVES = ["ran", "walked", "hurried", "went", "hopped"]

# A plot is a list of moments; a moment is a list of ways to tell it. What a story says first it keeps to the end.
OPENING = [
    "{time} {a} was {place}.",
    "There once was a {trait} {child} called {a}.",
    "{a} was a {trait} {child} who liked to be {place}.",
    "{time} {a} and {b} met {place}.",
    "{a} lived close to {b}, and they often played {place}.",
]
PLOTS = {
    "borrowed": [
        OPENING,
        ["{b} had a {colour} {toy}.", "{b} owned a fine {colour} {toy}.", "Everyone knew the {colour} {toy} of {b}."],
        ["{a} wished to play with it for one day.", "{a} wanted to hold it just once.", "More than anything, {a} wished for a {toy} like that."],
        ["\"Take it, but bring it back,\" said {b}.", "\"You may borrow it until tomorrow,\" {b} said.", "{b} lent it to {a} with a smile."],
        ["But soon {weather} came, and {a} hid {hiding}.", "Then {weather} came and {a} could not go home.", "But {a} forgot it {hiding}."],
        ["{A_he} was afraid that the {toy} was lost.", "{A_he} thought of {b} and felt sad.", "\"What will {b} say?\" thought {a}."],
        ["{A_his} {helper} came and helped {a_him} look.", "Together with {a_his} {helper}, {a_he} searched for a long time.", "{A_his} {helper} said, \"We will look for it together.\""],
        ["At last they found it {hiding}.", "And there it was, {hiding}!", "In the end it lay {hiding}."],
        ["So {a} gave the {colour} {toy} back to {b}.", "The next day {a} brought the {colour} {toy} back to {b}.", "{b} was glad to have the {colour} {toy} again, and {a} was glad too."],
        ["\"Thank you for keeping your word,\" said {b}.", "From then on {b} trusted {a}.", "And they ate {food} with the {helper} of {a}."],
    ],
    "lost": [
        OPENING,
        ["{a} had a {colour} {toy} from {a_his} {helper}.", "{A_his} {helper} had made {a_him} a {colour} {toy}.", "{a} took {a_his} {colour} {toy} everywhere."],
        ["{a} wanted to show it to {b}.", "{A_he} wished that {b} could see it.", "{a} hoped to play with it all day."],
        ["But when {a_he} looked, the {toy} was gone!", "But on the way the {toy} fell down and nobody saw it.", "Then {weather} came, and after that the {toy} was gone."],
        ["{a} began to cry.", "{A_he} looked everywhere and did not find it.", "{a} sat down and did not know what to do."],
        ["\"What is wrong?\" asked {b}.", "{b} heard it and came at once.", "{b} asked, \"Why are you so sad, {a}?\""],
        ["\"I lost my {colour} {toy},\" said {a}.", "\"My {toy} is gone,\" {a} said, \"the {colour} one.\""],
        ["{b} {move} off and looked {hiding}.", "{b} was {trait2} and looked {hiding}.", "Then {b} saw something {colour} {hiding}."],
        ["It was the {toy}!", "There lay the {colour} {toy}.", "\"Here it is!\" called {b}."],
        ["{a} thanked {b} and shared {a_his} {food} with {b_him}.", "{a} was so happy that {a_he} gave {b} some {food}.", "{a} hugged {b} and held the {toy} tight."],
        ["That evening {a} told {a_his} {helper} how {b} had found the {colour} {toy}.", "\"{b} found the {colour} {toy},\" {a} told {a_his} {helper}.", "And {a} never left the {colour} {toy} {hiding} again."],
    ],
    "mended": [
        OPENING,
        ["{a} had an old {colour} {toy}.", "On a shelf stood the {colour} {toy} of {a}.", "{a} found a {colour} {toy} {hiding}."],
        ["But the {part} was broken.", "One day the {part} of the {toy} broke.", "Sadly, its {part} came off."],
        ["{a} wished that it would be whole again.", "\"I wish I could mend it,\" said {a}.", "{A_he} wanted to play with it so much."],
        ["{a} tried alone, but it was too hard.", "First {a_he} asked {a_his} {helper}, who had no time.", "{A_he} tried once, and twice, and it did not work."],
        ["{b} had an idea.", "Then {b} came by.", "\"Let me try,\" said {b}."],
        ["{b} brought {tool} and worked on the {part}.", "With {tool} {b} began to mend the {part}.", "\"We need {tool} for the {part},\" said {b}, and ran to get it."],
        ["Outside there was {weather}, but they did not mind.", "They worked until it was dark.", "It took a long time."],
        ["At last the {part} held.", "Soon the {toy} was as good as new.", "Then the {toy} was whole again."],
        ["{a} said, \"Thank you, {b}! Without {tool} we could not have done it.\"", "\"You mended the {part}!\" {a} said to {b}.", "To thank {b_him}, {a} baked {food} for {b}."],
        ["Now {a} and {b} play with the {colour} {toy} {place} every day.", "And so the {colour} {toy} had a good {part} once more.", "The {colour} {toy} was never put on a shelf again."],
    ],
    "animal": [
        OPENING,
        ["There {a_he} found a little {fur} {animal}.", "Suddenly a small {fur} {animal} stood before {a_him}.", "{a} heard a noise, and there sat a {fur} {animal} {hiding}."],
        ["The {animal} was hungry, so {a} gave it {food}.", "It was cold and all alone.", "The {animal} looked sad and would not eat."],
        ["{a} wished to keep it.", "\"May I keep it?\" {a_he} asked {a_his} {helper}.", "{A_he} wanted the {animal} to stay for ever."],
        ["But {a_his} {helper} said, \"Somebody is looking for it.\"", "But around its neck was a {colour} ribbon, so it had a home.", "\"It belongs to someone,\" said {a_his} {helper}."],
        ["{a} {move} from house to house and asked.", "So {a} asked all the people {place}.", "They looked for the owner, although there was {weather}."],
        ["At last {a_he} came to {b}.", "Then {b} opened the door.", "In the last house lived {b}."],
        ["\"My {animal}!\" cried {b}.", "{b} had looked for the {fur} {animal} for days.", "\"That is my {fur} {animal},\" said {b}, and {b_he} laughed."],
        ["So {a} gave the {animal} back to {b}.", "{a} was a little sad, but {a_he} gave the {animal} to {b}.", "The {animal} jumped into the arms of {b}."],
        ["\"Come and see it whenever you like,\" said {b} to {a}.", "{b} gave {a} some {food2} and became {a_his} friend.", "Now {a} visits {b} and the {fur} {animal} every week."],
    ],
    "swap": [
        ["{time} {a} and {b} met {place}.", "{a} and {b} were good friends and often met {place}.", "{a} was {trait}, and {a_his} friend {b} was {trait2}."],
        ["{a} had a {colour} {toy}, and {b} had a {colour2} {toy2}.", "{a} brought a {colour} {toy}. {b} brought a {colour2} {toy2}."],
        ["{a} wished for the {toy2}.", "\"I like your {toy2},\" said {a}.", "Secretly {a} wanted the {toy2} of {b}."],
        ["And {b} wished for the {toy}.", "\"And I like your {toy},\" said {b}.", "But {b} looked only at the {toy} of {a}."],
        ["They did not dare to ask.", "For a while nobody said a word.", "Then {weather} came and they waited {hiding}."],
        ["{A_his} {helper} said, \"Why do you not swap?\"", "Then the {helper} of {a} had an idea: they could swap.", "\"Shall we swap?\" asked {a} at last."],
        ["So {a} took the {colour2} {toy2}, and {b} took the {colour} {toy}.", "{a} gave {b} the {colour} {toy} and got the {colour2} {toy2}."],
        ["Both were happy.", "They laughed and ate {food}.", "They played until the evening."],
        ["That night the {toy2} slept beside {a}, and the {toy} slept beside {b}.", "Now {b} has the {colour} {toy} and {a} has the {colour2} {toy2}.", "At home {a} showed the {colour2} {toy2} to {a_his} {helper}."],
    ],
    "gift": [
        OPENING,
        ["Soon it was the birthday of {b}.", "The birthday of {b} was near.", "{b} had a birthday the next day."],
        ["{b} liked everything that was {colour}.", "\"{colour_cap} is the best colour,\" {b} always said.", "{b} wished for a {colour} {toy}."],
        ["{a} wanted to give {b_him} a {colour} {toy}.", "So {a} looked for a {colour} {toy}.", "\"I will find a {colour} {toy},\" thought {a}."],
        ["But in the shop there was only a {colour2} one.", "But {a} had no money.", "But the last {toy} in the shop was {colour2}."],
        ["{a} went to {a_his} {helper} and asked for help.", "\"Can you help me?\" {a_he} asked {a_his} {helper}.", "{A_his} {helper} saw that {a_he} was sad."],
        ["They took some paint and made the {toy} {colour}.", "All day they worked, and in the evening they had a {colour} {toy}.", "The {helper} had an old {toy}, and they painted it {colour}."],
        ["On the birthday there was {weather}, but {a} {move} to {b}.", "Then {a} {move} to {b} with the present.", "The next day {a} {move} to the party {place}."],
        ["{b} opened the box and laughed.", "\"Happy birthday!\" said {a}.", "There was {food} for everybody."],
        ["\"A {colour} {toy}! That was my wish,\" said {b}.", "{b} held the {colour} {toy} and thanked {a}.", "It was {colour}, just as {b} liked it."],
        ["And {a} told {b_him} how {a_his} {helper} had helped.", "{a} was as happy as {b}.", "Of all the presents {b} liked the {toy} of {a} best."],
    ],
    "hidden": [
        ["{a} and {b} played a game {place}.", "{time} {a} and {b} wanted to play a game {place}.", "{a} had a plan for a game with {b}."],
        ["{a} hid a {colour} {toy} {hiding}.", "{a} took a {colour} {toy} and put it {hiding}.", "\"Close your eyes,\" said {a}, and hid the {colour} {toy} {hiding}."],
        ["{b} wished to find it before dinner.", "\"I will find it!\" said {b}.", "{b} wanted to win the game."],
        ["First {b_he} looked {hiding2}, but there was only a {animal}.", "First {b} searched {hiding2} and found nothing.", "{b} {move} to look {hiding2}, but it was not there."],
        ["\"Cold, very cold!\" laughed {a}.", "{a} laughed, for the {toy} was far from there.", "\"No, not {hiding2},\" said {a}."],
        ["Then there was {weather}, and the game became hard.", "Soon {b} was tired and hungry.", "{b} asked for a hint."],
        ["\"I will tell you one thing: it is {colour},\" said {a}.", "\"Think of a place where you like to sit,\" said {a}.", "{a} gave {b_him} some {food} and a hint."],
        ["Then {b} went to look {hiding}.", "At last {b} looked {hiding}.", "{b} thought for a while and then {move} to look {hiding}."],
        ["There was the {colour} {toy}!", "\"I have it!\" called {b} and held up the {toy}.", "And {b} found the {colour} {toy}."],
        ["So {b} won, and the next day {b_he} hid the {toy} {hiding2}.", "\"You won,\" said {a}, \"but tomorrow I will hide it {hiding2}.\"", "They went home, and {b} told {b_his} {helper} that the {toy} had been {hiding}."],
    ],
    "quarrel": [
        ["{a} and {b} found a {colour} {toy} {place}.", "{time} {a} and {b} saw a {colour} {toy} {hiding}.", "A {colour} {toy} lay {hiding}, and {a} and {b} saw it."],
        ["\"It is mine!\" said {a}.", "{a} wished to have it alone.", "{a} took it at once."],
        ["\"No, I saw it first!\" said {b}.", "But {b} wanted it too.", "\"Give it to me!\" cried {b}."],
        ["They pulled, and the {part} broke.", "They shouted so loudly that a {animal} ran away.", "They were angry, and nobody wanted to play any more."],
        ["{a} went home and could not sleep.", "{a} thought about it while there was {weather}.", "At home {a} had no joy, even with {food}."],
        ["\"Is a {toy} worth more than a friend?\" asked {a_his} {helper}.", "{A_his} {helper} said, \"{b} is sad too.\"", "{a} told {a_his} {helper} about {b} and the {toy}."],
        ["The next day {a} {move} to {b}.", "So {a} took the {toy} and {move} to {b}.", "In the morning {a} knocked at the door of {b}."],
        ["\"I am sorry,\" said {a}. \"You may have the {colour} {toy}.\"", "\"Let us share the {toy},\" said {a}.", "{a} said to {b}, \"You saw it first.\""],
        ["{b} smiled and said, \"We will take turns.\"", "\"I am sorry too,\" said {b}.", "{b} was {trait2} and gave {a_him} {b_his} hand."],
        ["Now one day the {colour} {toy} is with {a}, and the next day it is with {b}.", "And so {a} and {b} played with the {colour} {toy} {place}.", "They gave the {colour} {toy} to the {helper} of {a} to keep for them both."],
    ],
}
CLOSING = ["", "", " The end.", " It was a good day.", " And {a} was happy.", " {b} smiled all the way home.", " They stayed friends for ever."]


def write_story(rng):
    girl, other_girl = rng.random() < 0.5, rng.random() < 0.5
    a = rng.choice(GIRLS if girl else BOYS)
    b = rng.choice([n for n in (GIRLS if other_girl else BOYS) if n != a])
    colour, colour2 = rng.sample(COLOURS, 2)
    toy, toy2 = rng.sample(TOYS, 2)
    hiding, hiding2 = rng.sample(HIDING, 2)
    food, food2 = rng.sample(FOODS, 2)
    trait, trait2 = rng.sample(TRAITS, 2)
    part = rng.choice(list(JOBS))
    facts = {
        "a": a, "b": b, "child": "girl" if girl else "boy",
        "a_he": "she" if girl else "he", "a_him": "her" if girl else "him", "a_his": "her" if girl else "his",
        "A_he": "She" if girl else "He", "A_his": "Her" if girl else "His",
        "b_he": "she" if other_girl else "he", "b_him": "her" if other_girl else "him", "b_his": "her" if other_girl else "his",
        "colour": colour, "colour2": colour2, "colour_cap": colour.capitalize(), "toy": toy, "toy2": toy2,
        "hiding": hiding, "hiding2": hiding2, "place": rng.choice(PLACES), "food": food, "food2": food2,
        "trait": trait, "trait2": trait2, "part": part, "tool": JOBS[part],
        "animal": rng.choice(ANIMALS), "fur": rng.choice(FURS), "weather": rng.choice(WEATHER), "helper": rng.choice(HELPERS),
        "time": rng.choice(TIMES), "move": rng.choice(MOVES),
    }
    moments = PLOTS[rng.choice(list(PLOTS))]
    text = " ".join(rng.choice(ways) for ways in moments) + rng.choice(CLOSING)
    return with_articles(text.format(**facts))


def with_articles(text):
    """`a orange ball` becomes `an orange ball`."""
    words = text.split(" ")
    for i, word in enumerate(words[:-1]):
        if word in ("a", "A", '"A') and words[i + 1][0] in "aeiou":
            words[i] = word + "n"
    return " ".join(words)


THINGS = {
    "apple": "apples", "nut": "nuts", "coin": "coins", "egg": "eggs", "book": "books", "pear": "pears",
    "stone": "stones", "stamp": "stamps", "card": "cards", "flower": "flowers", "button": "buttons", "shell": "shells",
}
BOXES = ["box", "bag", "basket", "jar", "bowl"]
ADDITIONS = [
    "What is {x} + {y}?",
    "What is {x} plus {y}?",
    "{a} has {x_things} and finds {y} more. How many {things} has {a} now?",
    "{a} has {x_things} and {b} has {y_things}. How many {things} have they together?",
    "There {x_are} {x_things} in the {box}. {a} puts in {y} more. How many {things} are in the {box}?",
    "{b} gives {a} {y_things}. Before that {a} had {x_things}. How many {things} has {a} now?",
]
SUBTRACTIONS = [
    "What is {x} - {y}?",
    "What is {x} minus {y}?",
    "{a} has {x_things} and loses {y}. How many {things} has {a} now?",
    "{a} has {x_things} and gives {y} to {b}. How many {things} has {a} now?",
    "There {x_are} {x_things} in the {box}. {a} takes out {y}. How many {things} are left?",
    "{a} has {x_things} and {b} has {y_things}. How many more {things} has {a} than {b}?",
]


def draw_numbers(rng, limit):
    """(operation, x, y) with x, y and the result between 0 and limit; every pair is equally likely."""
    low, high = sorted(rng.sample(range(limit + 2), 2))
    x, y = low, high - low - 1
    if rng.random() < 0.5:
        return "+", x, y
    return "-", x + y, y


def write_sum(rng, operation, x, y):
    """(question ending in `Answer:`, answer with its leading space)"""
    a, b = rng.sample(GIRLS + BOYS, 2)
    one, many = rng.choice(list(THINGS.items()))
    question = rng.choice(ADDITIONS if operation == "+" else SUBTRACTIONS).format(
        a=a, b=b, x=x, y=y, things=many, box=rng.choice(BOXES), x_are="is" if x == 1 else "are",
        x_things=f"{x} {one if x == 1 else many}", y_things=f"{y} {one if y == 1 else many}",
    )
    return f"Question: {question} Answer:", f" {x + y if operation == '+' else x - y}"


def same_numbers(operation, x, y):
    return (operation, min(x, y), max(x, y)) if operation == "+" else (operation, x, y)


class Splits:
    """Hands out documents of which none has been handed out before."""

    def __init__(self):
        self.seen = set()
        self.held_out = set()

    def is_new(self, text):
        digest = hashlib.sha256(text.encode()).digest()[:12]
        if digest in self.seen:
            return False
        self.seen.add(digest)
        return True

    def story(self, rng):
        while True:
            text = write_story(rng)
            if self.is_new(text):
                return text

    def sum(self, rng, limit, hold_out=False):
        while True:
            numbers = draw_numbers(rng, limit)
            if (same_numbers(*numbers) in self.held_out) and not hold_out:
                continue
            prompt, answer = write_sum(rng, *numbers)
            if self.is_new(prompt + answer):
                if hold_out:
                    self.held_out.add(same_numbers(*numbers))
                return prompt, answer


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def mixed(splits, rng, count, hold_out):
    """Half stories, half sums, shuffled."""
    texts = [splits.story(rng) for _ in range(count // 2)]
    texts += ["".join(splits.sum(rng, 99, hold_out)) for _ in range(count - count // 2)]
    rng.shuffle(texts)
    return [{"text": text} for text in texts]


def main():
    splits = Splits()
    sums = [splits.sum(random.Random(f"{SEED} sums {i}"), 99, hold_out=True) for i in range(SUMS_ROWS)]
    write_rows(DATA / "sums.jsonl", [{"prompt": prompt, "answer": answer} for prompt, answer in sums])
    write_rows(DATA / "validation.jsonl", mixed(splits, random.Random(f"{SEED} validation"), VALIDATION_DOCUMENTS, True))
    write_rows(DATA / "calibration.jsonl", mixed(splits, random.Random(f"{SEED} calibration"), CALIBRATION_DOCUMENTS, False))

    rng = random.Random(f"{SEED} train stories")
    write_rows(CACHE / "train-stories.jsonl", ({"text": splits.story(rng)} for _ in range(TRAIN_STORIES)))
    # The sums come in the order they are to be learned: up to 9 first, up to 99 after the first third.
    rng = random.Random(f"{SEED} train sums")
    limits = (9 + round(90 * min(1, 3 * i / TRAIN_SUMS)) for i in range(TRAIN_SUMS))
    write_rows(CACHE / "train-sums.jsonl", ({"text": "".join(splits.sum(rng, limit))} for limit in limits))


if __name__ == "__main__":
    main()
