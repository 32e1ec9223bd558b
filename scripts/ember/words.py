"""What ember can be told: families, colours, modifiers and their everyday synonyms.

One row per word. This file knows nothing of drawing, sentences or training.
"""

Rgb = tuple[float, float, float]

# family: (names a caption may use, colours it has when nobody asks)
FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "strands": (("spaghetti", "noodles", "strands", "yarn", "ropes"), ("gold", "orange")),
    "marble": (("marble", "veined stone", "agate"), ("white", "grey")),
    "clouds": (("clouds", "cloudy sky", "cumulus"), ("white", "blue")),
    "smoke": (("smoke", "wisps", "incense", "vapour"), ("grey", "white")),
    "rings": (("rings", "hoops", "circles"), ("gold", "white")),
    "spirals": (("spiral", "spirals", "vortex", "whirlpool"), ("blue", "white")),
    "cells": (("cells", "membranes", "honeycomb"), ("green", "yellow")),
    "glass": (("stained glass", "mosaic", "church window"), ("red", "blue", "gold")),
    "waves": (("waves", "ocean", "sea", "surf"), ("blue", "teal")),
    "tunnel": (("tunnel", "corridor", "wormhole"), ("blue", "purple")),
    "flowers": (("flowers", "flower", "petals", "blossoms"), ("pink", "yellow")),
    "nebula": (("nebula", "stars", "galaxy", "space"), ("purple", "pink", "blue")),
    "fire": (("fire", "flames", "blaze"), ("red", "orange", "yellow")),
    "aurora": (("aurora", "northern lights", "polar lights"), ("green", "purple")),
    "bubbles": (("bubbles", "orbs", "spheres"), ("cyan", "pink")),
    "scales": (("scales", "dragon skin", "fish scales"), ("green", "teal")),
    "dunes": (("dunes", "desert", "sand"), ("gold", "orange")),
    "crystals": (("crystals", "gems", "shards"), ("ice", "purple")),
    "ink": (("ink", "ink in water", "dye"), ("indigo", "magenta")),
    "silk": (("silk", "satin", "drapery", "cloth"), ("maroon", "rose")),
    "lava": (("lava", "magma", "embers"), ("red", "orange")),
    "lightning": (("lightning", "thunderstorm", "electricity"), ("lavender", "blue")),
    "ripples": (("ripples", "rain on water", "raindrops"), ("steel", "ice")),
    "hills": (("hills", "landscape", "mountains", "valley"), ("coral", "plum")),
    "trees": (("trees", "woods", "birches"), ("pine", "olive")),
    "lights": (("city lights", "bokeh", "lanterns"), ("gold", "rose", "cyan")),
    "feathers": (("feathers", "plumes", "plumage"), ("teal", "blue")),
    "leaves": (("leaves", "foliage", "ferns"), ("green", "olive")),
    "jellyfish": (("jellyfish", "medusas"), ("pink", "purple")),
    "mandala": (("mandala", "rosette", "kaleidoscope"), ("gold", "magenta", "teal")),
    "moire": (("moire", "interference"), ("cyan", "magenta")),
    "checks": (("checks", "chessboard", "checkered flag"), ("white", "red")),
    "fractal": (("fractal", "julia set"), ("blue", "gold")),
    "coral": (("coral reef", "brain coral", "labyrinth"), ("coral", "peach")),
    "lace": (("lace", "doily", "filigree"), ("cream", "white")),
    "circuits": (("circuits", "circuit board", "microchip"), ("lime", "green")),
}

# colour: (sRGB at mid tone, names a caption may use)
COLOURS: dict[str, tuple[Rgb, tuple[str, ...]]] = {
    "red": ((0.84, 0.08, 0.09), ("red", "crimson", "scarlet", "ruby", "blood", "cherry")),
    "rust": ((0.66, 0.27, 0.11), ("rust", "copper", "terracotta", "brick")),
    "orange": ((0.97, 0.50, 0.06), ("orange", "tangerine", "pumpkin", "amber", "carrot")),
    "gold": ((0.85, 0.65, 0.20), ("gold", "golden", "honey", "brass", "mustard")),
    "yellow": ((0.98, 0.89, 0.16), ("yellow", "lemon", "canary", "banana", "sunny")),
    "lime": ((0.60, 0.90, 0.12), ("lime", "acid", "chartreuse")),
    "green": ((0.10, 0.62, 0.20), ("green", "emerald", "grass", "leaf")),
    "teal": ((0.04, 0.53, 0.48), ("teal", "jade", "malachite")),
    "cyan": ((0.12, 0.82, 0.87), ("cyan", "turquoise", "aqua")),
    "ice": ((0.70, 0.87, 0.97), ("ice", "icy", "frost", "glacier")),
    "blue": ((0.12, 0.30, 0.87), ("blue", "blueberry", "sapphire", "cobalt")),
    "indigo": ((0.16, 0.13, 0.50), ("indigo", "midnight")),
    "purple": ((0.50, 0.18, 0.76), ("purple", "violet", "grape", "amethyst")),
    "magenta": ((0.90, 0.10, 0.62), ("magenta", "fuchsia", "raspberry")),
    "pink": ((0.98, 0.58, 0.71), ("pink", "bubblegum", "flamingo")),
    "brown": ((0.42, 0.25, 0.14), ("brown", "chocolate", "coffee", "chestnut")),
    "white": ((0.94, 0.94, 0.93), ("white", "snow", "pearl", "milk")),
    "grey": ((0.53, 0.54, 0.56), ("grey", "gray", "silver", "ash")),
    "black": ((0.05, 0.05, 0.06), ("black", "coal", "ebony", "onyx")),
    "maroon": ((0.42, 0.04, 0.12), ("maroon", "burgundy", "wine", "garnet")),
    "coral": ((1.00, 0.44, 0.36), ("coral", "salmon")),
    "peach": ((1.00, 0.76, 0.58), ("peach", "apricot", "melon")),
    "cream": ((0.98, 0.92, 0.74), ("cream", "ivory", "vanilla", "butter")),
    "olive": ((0.45, 0.45, 0.10), ("olive", "khaki", "moss")),
    "mint": ((0.58, 0.95, 0.76), ("mint", "pistachio", "seafoam")),
    "sky": ((0.38, 0.66, 0.98), ("sky", "azure", "cornflower")),
    "lavender": ((0.74, 0.64, 0.95), ("lavender", "lilac", "wisteria")),
    "pine": ((0.03, 0.33, 0.19), ("pine", "forest", "ivy", "spruce")),
    "navy": ((0.03, 0.10, 0.30), ("navy", "marine")),
    "plum": ((0.40, 0.10, 0.36), ("plum", "aubergine", "mulberry")),
    "bronze": ((0.58, 0.42, 0.20), ("bronze", "caramel", "ochre")),
    "rose": ((0.92, 0.30, 0.46), ("rose", "watermelon", "strawberry")),
    "steel": ((0.34, 0.46, 0.58), ("steel", "slate", "denim")),
}

# modifier: names a caption may use; a picture never has two of one group
MODIFIERS: dict[str, tuple[str, ...]] = {
    "dense": ("dense", "crowded", "many", "packed"),
    "sparse": ("sparse", "few", "scattered"),
    "large": ("large", "big", "huge", "giant"),
    "fine": ("fine", "small", "tiny", "delicate"),
    "soft": ("soft", "gentle", "blurred", "dreamy"),
    "sharp": ("sharp", "crisp", "hard"),
    "glowing": ("glowing", "neon", "luminous", "shining"),
    "metallic": ("metallic", "chrome", "metal"),
    "dark": ("dark", "moody", "shadowy"),
    "pale": ("pale", "pastel", "faded"),
    "swirling": ("swirling", "twisting", "wavy", "turbulent"),
    "calm": ("calm", "quiet", "peaceful"),
    "misty": ("misty", "foggy", "hazy"),
    "symmetric": ("symmetric", "symmetrical", "kaleidoscopic", "ornamental"),
}
PAIRS = (
    ("dense", "sparse"),
    ("large", "fine"),
    ("soft", "sharp"),
    ("glowing", "metallic"),
    ("dark", "pale"),
    ("swirling", "calm"),
    ("misty", "symmetric"),
)

GLUE = (
    *("and", "with", "in", "on", "of", "a", "the", "over", "background", "made", "some"),
    *("like", "from", "an", "image", "painting", "photo", "against", "colours", "all"),
)
EXTRA = ("style", "picture", "abstract", "light", "bright", "night", "water", "liquid", "world")


def vocabulary() -> list[str]:
    """Every word the grammar can say, sorted, each once."""
    rows = [*(names for names, _ in FAMILIES.values()), *(names for _, names in COLOURS.values())]
    rows += [*MODIFIERS.values(), GLUE, EXTRA]
    return sorted({word for row in rows for name in row for word in name.split()})
