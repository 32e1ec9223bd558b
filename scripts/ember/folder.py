"""ember as an ordinary diffusers folder: its parts, its tokenizer, and saving it whole.

The one place that knows the architecture. This file knows nothing of pictures or losses.
"""

import itertools
import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from head_start import head_start
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from words import COLOURS, FAMILIES, MODIFIERS, vocabulary

TARGET = Path(__file__).parents[2] / "lwlive" / "ember"
TOKENS = 32  # the longest prompt, start and end included
VOCABULARY = 2048  # rows of the text encoder's table; what is not used yet is room to grow
CONDITION = 128  # width of a text token
LATENTS = 16  # channels; a picture is drawn from the noise of the first four
FACTOR = 16  # pixels a side that one latent stands for
START, END = "<|startoftext|>", "<|endoftext|>"


@dataclass
class Ember:
    """The four parts that hold weights or tables, and the schedule they were trained for."""

    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderTiny
    schedule: DDIMScheduler


def tokenizer() -> CLIPTokenizer:
    """Byte-level BPE: each known word one token, any other text as shorter pieces or bytes."""
    symbols = sorted(ByteLevel.alphabet())
    table = [*symbols, *(s + "</w>" for s in symbols)]
    merges: list[tuple[str, str]] = []
    pieces = set(table)
    for word in sorted(vocabulary(), key=lambda w: (len(w), w)):
        parts = split([*word[:-1], word[-1] + "</w>"], merges)
        while len(parts) > 1:
            left, right = parts[0], parts[1]
            merges.append((left, right))
            if left + right not in pieces:
                pieces.add(left + right)
                table.append(left + right)
            parts = split([*word[:-1], word[-1] + "</w>"], merges)
    table += [START, END]
    if len(table) > VOCABULARY:
        raise ValueError(f"{len(table)} tokens do not fit the text encoder's {VOCABULARY} rows.")
    ids = {piece: i for i, piece in enumerate(table)}
    return CLIPTokenizer(vocab=ids, merges=merges, model_max_length=TOKENS)


@torch.no_grad()
def retold(ember: Ember) -> Ember:
    """A saved model with the words of today: what it knew of a word stays with the word.

    Rows of the token table are found by their pieces, since every new word moves the numbers.
    A word that is new begins near the name it means the same as, where that was known.
    """
    fresh, old = blank(), ember.tokenizer.get_vocab()
    before = ember.text.get_input_embeddings().weight
    new, table = fresh.tokenizer.get_vocab(), fresh.text.get_input_embeddings().weight
    blank_rows = table.detach().clone()
    fresh.text.load_state_dict(ember.text.state_dict())
    table.copy_(blank_rows * before.std() / blank_rows.std())
    alike = {f"{w}</w>": f"{names[0]}</w>" for names in named() for n in names for w in n.split()}
    for piece, row in new.items():
        if piece in old:
            table[row] = before[old[piece]]
        elif alike.get(piece) in old:
            table[row] = before[old[alike[piece]]] + table[row] / 2
    return replace(ember, tokenizer=fresh.tokenizer, text=fresh.text.eval())


def unknown(ember: Ember) -> frozenset[str]:
    """Families for whose plain name a saved model has no word."""
    return frozenset(f for f, (names, _) in FAMILIES.items() if not knows(ember, names[0]))


def knows(ember: Ember, said: str) -> bool:
    """Whether a model has a word of its own for each word that is said."""
    known = ember.tokenizer.get_vocab()
    return all(f"{word}</w>" in known for word in said.replace(",", " ").split())


def named() -> Iterator[tuple[str, ...]]:
    """Names that mean the same, the plain one first."""
    yield from (names for names, _ in FAMILIES.values())
    yield from (names for _, names in COLOURS.values())
    yield from MODIFIERS.values()


def split(parts: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """Byte-pair encoding of one word (Sennrich et al. 2016): the earliest rule goes first."""
    rank = {pair: i for i, pair in enumerate(merges)}
    while len(parts) > 1:
        pairs = [rank.get(pair, len(rank)) for pair in itertools.pairwise(parts)]
        best = min(pairs)
        if best == len(rank):
            break
        i = pairs.index(best)
        parts = [*parts[:i], parts[i] + parts[i + 1], *parts[i + 2 :]]
    return parts


def schedule() -> DDIMScheduler:
    """v-prediction with zero terminal SNR and trailing steps (Lin et al. 2024)."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,  # without effect on trailing steps; diffusers warns about any other
    )


def blank(seed: int = 0) -> Ember:
    """The whole model before any training, the same for the same seed."""
    torch.manual_seed(seed)
    tok = tokenizer()
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=CONDITION,
            intermediate_size=4 * CONDITION,
            projection_dim=CONDITION,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=tok.bos_token_id,
            eos_token_id=tok.eos_token_id,
            pad_token_id=tok.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=LATENTS,
        out_channels=LATENTS,
        block_out_channels=(48, 64, 160, 160),  # down to 4x4, where padding tells the place
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        attention_head_dim=(3, 4, 5, 5),  # heads, in fact, as in Stable Diffusion 2
        cross_attention_dim=CONDITION,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",  # the prompt also scales and shifts every block
        addition_embed_type_num_heads=4,
    )
    vae = AutoencoderTiny(
        latent_channels=LATENTS,
        encoder_block_out_channels=(16,) * 5,
        num_encoder_blocks=(0, 0, 0, 3, 3),
        decoder_block_out_channels=(16,) * 5,
        num_decoder_blocks=(3, 4, 1, 1, 0),
    )
    head_start(vae)
    return Ember(tok, text, unet, vae, schedule())


def save(ember: Ember, folder: Path) -> None:
    """Write float16 safetensors beside `folder`, then rename each file into place."""
    folder.mkdir(parents=True, exist_ok=True)
    backend = ember.tokenizer.backend_tokenizer
    backend.no_truncation()  # left by its last use, and no part of it
    backend.no_padding()
    with TemporaryDirectory(dir=folder.parent, prefix=".ember-") as scratch:
        pipe = StableDiffusionPipeline(
            vae=deepcopy(ember.vae).half(),
            text_encoder=deepcopy(ember.text).half(),
            tokenizer=ember.tokenizer,
            unet=deepcopy(ember.unet).half(),
            scheduler=ember.schedule,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipe.save_pretrained(scratch)
        # transformers would load the stored type, diffusers loads float32: let them agree
        amend(Path(scratch) / "text_encoder" / "config.json", dtype="float32")
        amend(Path(scratch) / "vae" / "config.json", block_out_channels=None, _name_or_path=None)
        amend(Path(scratch) / "unet" / "config.json", _name_or_path=None)
        (Path(scratch) / "words.json").write_text(told())
        for path in sorted(p for p in Path(scratch).rglob("*") if p.is_file()):
            goal = folder / path.relative_to(scratch)
            goal.parent.mkdir(exist_ok=True)
            path.chmod(0o644)
            path.replace(goal)


def told() -> str:
    """What the model can be told, for whoever asks the folder: each name's own names, as JSON."""
    kinds = {
        "families": {family: names for family, (names, _) in FAMILIES.items()},
        "colours": {colour: names for colour, (_, names) in COLOURS.items()},
        "modifiers": MODIFIERS,
    }
    return json.dumps(kinds, indent=1) + "\n"


def amend(path: Path, **changes: str | None) -> None:
    """Set keys of a JSON file; None takes the key out."""
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}, indent=2))
