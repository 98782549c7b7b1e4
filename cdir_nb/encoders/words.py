"""Text embeddings of prompts in which a vector replaces a word (TKI, section 4.1); a check for words new to an encoder.

In "A [DOMAIN] style of dog.", the token embedding of [DOMAIN] is a given vector; the text tower is frozen.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transformer import text_global_pool
from torch import nn
from torch.utils.checkpoint import checkpoint

from cdir_nb.encoders.clip import ClipEncoder
from cdir_nb.encoders.image import ImageEncoder
from cdir_nb.errors import CdirError

DOMAIN = "[DOMAIN]"
BLOCK = 1024  # prompts that pass the tower at a time: 4.6 GB of activations with ViT-B/32's tower and 12 tokens
PARTS = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection", "attn_mask")


@dataclass(frozen=True)
class Prompts:
    """K tokenised prompts, cut to the length of the longest.

    tokens     (K, L) int64; 0 at the position of [DOMAIN] and after the end
    positions  (K,) int64, the position of [DOMAIN]; -1 in a prompt without it
    """

    tokens: torch.Tensor
    positions: torch.Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: torch.Tensor) -> "Prompts":
        """The prompts with these indices, in that order; indices may repeat."""
        rows = rows.to(self.positions.device)
        return Prompts(self.tokens[rows], self.positions[rows])


class WordTower:
    """The frozen text tower of a CLIP encoder, for prompts with vectors instead of words.

    width  W, the length of a word vector

    Works for open_clip's CLIP and CustomTextCLIP with CLIP's causal text tower. Since no token attends to later ones,
    a prompt can be cut after its end, which saves most of the 77 positions.
    Raises CdirError if the encoder has no such tower.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        self.tower: Any = _text_tower(encoder)
        self.encoder: Any = encoder
        self.width: int = self.tower.token_embedding.embedding_dim
        self._pool = getattr(self.tower, "text_pool_type", None) or getattr(self.tower, "pool_type", "argmax")
        self._end = getattr(self.tower, "text_eos_id", None) or getattr(self.tower, "eos_id", None)

    @property
    def device(self) -> torch.device:
        """The device of the text tower."""
        return self.tower.positional_embedding.device

    def prompts(self, texts: Sequence[str]) -> Prompts:
        """Tokenise K texts, each with at most one [DOMAIN]. Raises CdirError for a text longer than the context."""
        rows, positions = zip(*(self._tokenise(text) for text in texts))
        longest = max(map(len, rows))
        tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return Prompts(tokens.to(self.device), torch.tensor(positions, device=self.device))

    def embed(self, prompts: Prompts, words: torch.Tensor) -> torch.Tensor:
        """(K, D) unnormalised text features of K prompts; words (K, W) are their word vectors (ignored at -1).

        Only `words` gets gradients. More than BLOCK prompts are processed in blocks whose activations are recomputed in
        the backward pass: memory is that of one block, at the cost of a second forward pass.
        """
        words = words.to(self.device)
        if len(prompts) <= BLOCK:
            return self._forward(prompts.tokens, prompts.positions, words)
        blocks = zip(prompts.tokens.split(BLOCK), prompts.positions.split(BLOCK), words.split(BLOCK))
        return torch.cat([checkpoint(self._forward, *block, use_reentrant=False) for block in blocks])

    def vector(self, word: str) -> torch.Tensor:
        """(W,): the token embedding of a word. Raises CdirError for a word of several tokens."""
        ids = self.encoder.tokenizer.encode(word)
        if len(ids) != 1:
            raise CdirError(f'"{word}" is {len(ids)} tokens: give a word that is one token, such as "sketch"')
        return self.tower.token_embedding.weight[ids[0]].detach().clone()

    def nearest(
        self, words: torch.Tensor, candidates: Sequence[str] | None = None, k: int = 5
    ) -> list[list[tuple[str, float]]]:
        """For each of (P, W) vectors the k nearest tokens by cosine, as (token, cosine).

        candidates  words to choose from; words that consist of several tokens are ignored (None: the whole vocabulary)
        """
        table = self.tower.token_embedding.weight.detach()
        encode, decoder = self.encoder.tokenizer.encode, self.encoder.tokenizer.decoder
        ids = range(len(table))
        if candidates is not None:
            ids = sorted({encode(word)[0] for word in candidates if len(encode(word)) == 1})
        cosines = F.normalize(words.to(table), dim=-1) @ F.normalize(table[list(ids)], dim=-1).T
        best = cosines.topk(min(k, len(ids)), dim=1)
        return [
            [(decoder[ids[i]].replace("</w>", ""), round(cosine, 3)) for i, cosine in zip(indices, values)]
            for indices, values in zip(best.indices.tolist(), best.values.tolist())
        ]

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """open_clip's `encode_text`, with the word vectors inserted before the position embeddings are added."""
        tower, length = self.tower, tokens.shape[1]
        is_word = torch.arange(length, device=tokens.device) == positions[:, None]  # (K, L), at most one per row
        with without_gradients(tower):
            x = torch.where(is_word[..., None], words[:, None, :], tower.token_embedding(tokens))
            x = x + tower.positional_embedding[:length]
            x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
            # The end is located by token id, not by value: no word vector can be mistaken for it.
            x = text_global_pool(x, tokens, self._pool, eos_token_id=self._end)
            if isinstance(tower.text_projection, nn.Linear):
                return tower.text_projection(x)
            return x if tower.text_projection is None else x @ tower.text_projection

    def _tokenise(self, text: str) -> tuple[list[int], int]:
        """Tokens with start and end, and the position of [DOMAIN]. Splitting there is safe: BPE never merges across
        words.
        """
        tokenizer = self.encoder.tokenizer
        before, gap, after = text.partition(DOMAIN)
        if DOMAIN in after:
            raise CdirError(f'"{text}" contains {DOMAIN} more than once; keep one')
        row = [tokenizer.sot_token_id, *tokenizer.encode(before)]
        position = len(row) if gap else -1
        row += [0] * bool(gap) + [*tokenizer.encode(after), tokenizer.eot_token_id]
        self.encoder.check_length(text, len(row))
        return row, position


def require_known_words(encoder: ClipEncoder, text: str) -> None:
    """Raise CdirError for words that are in no pretraining text of a bundled CLIP; their embeddings mean nothing.

    Punctuation is ignored. The pretraining texts of other models are not listed, so every word is accepted for them.
    """
    known, encode = encoder.built.known_tokens, encoder.tokenizer.encode
    words = "".join(" " if unicodedata.category(c)[0] in "PC" else c for c in text).split()
    unknown = [word for word in dict.fromkeys(words) if known is not None and not known.issuperset(encode(word))]
    if unknown or not words:
        listed = ", ".join(f"“{word}”" for word in unknown) or f"“{text}”"
        raise CdirError(
            f"{encoder.built.name} was not trained on any text with {listed}: use other words, or another encoder"
        )


@contextmanager
def without_gradients(module: nn.Module) -> Iterator[None]:
    """Temporarily disable gradients of all parameters of `module`."""
    enabled = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in enabled:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in enabled:
            parameter.requires_grad_(True)


def _text_tower(encoder: ImageEncoder) -> nn.Module:
    """The module with the parts of CLIP's causal text tower: the model itself, or its `text`."""
    if isinstance(encoder, ClipEncoder) and isinstance(encoder.tokenizer, open_clip.SimpleTokenizer):
        tower: Any = getattr(encoder.model, "text", encoder.model)
        is_causal = all(hasattr(tower, part) for part in PARTS) and tower.attn_mask is not None
        if is_causal and getattr(tower, "cls_emb", None) is None:
            return tower
    raise CdirError(
        f"encoder {encoder.built.name} has no CLIP text tower that takes word vectors: "
        "choose a CLIP model, such as tiny-clip or ViT-B-32:openai"
    )
