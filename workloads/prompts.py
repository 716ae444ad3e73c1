"""What the repeats of a workload ask for: a fixed list, gone through in order by every arm."""

PROMPTS = (
    "A cat walks through wet grass at dawn, drops of water on the blades, realistic style.",
    "A container ship enters a harbour in fog while gulls circle above the cranes.",
    "An old carpenter planes a board in his workshop, shavings curl and fall in slow motion.",
    "Night traffic on a bridge in the rain, seen from above, headlights mirrored on the road.",
    "A field of sunflowers turns with the sun, one whole day in a few seconds.",
    "Two children fly a red kite on a windy beach, waves break behind them.",
    "Molten glass is blown into a vase, glowing orange, in a dark room.",
    "A train crosses a stone viaduct in a snowy valley, steam drifts over the trees.",
    "Paper boats race down a flooded street, low camera close to the water.",
    "A chef tosses vegetables in a wok, flames rise, steam fills the small kitchen.",
)


def prompt_for(seed: int) -> str:
    """The prompt that goes with a seed: the list from its start, again and again."""
    return PROMPTS[seed % len(PROMPTS)]
