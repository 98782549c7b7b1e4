"""Prompts with a vector in place of a word: the frozen text tower reads "A [DOMAIN] style of dog.", where [DOMAIN]
stands for a vector of ours, put in at the token-embedding level (TKI, section 4.1).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transformer import text_global_pool
from torch import nn
from torch.utils.checkpoint import checkpoint

from cdir_nb.encoders.clip import ClipEncoder
from cdir_nb.errors import CdirError

DOMAIN = "[DOMAIN]"
BLOCK = 1024  # prompts through the tower at a time: 4.6 GB of activations with ViT-B/32's tower and 12 tokens
PARTS = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection", "attn_mask")


@dataclass(frozen=True)
class Prompts:
    """K tokenised prompts, cut behind the longest.

    tokens  (K, L) int64; 0 stands at the place of [DOMAIN] and behind the end
    places  (K,) int64, where [DOMAIN] stands; -1 in a prompt without it
    """

    tokens: torch.Tensor
    places: torch.Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: torch.Tensor) -> "Prompts":
        """The prompts named by index, in that order; one may come several times."""
        rows = rows.to(self.places.device)
        return Prompts(self.tokens[rows], self.places[rows])


class WordTower:
    """The frozen text tower of a CLIP encoder, which reads prompts with vectors in place of words.

    width  W, the length of a word vector

    Works for open_clip's CLIP and CustomTextCLIP with CLIP's own causal text tower. Since no token sees a later
    one, cutting a prompt behind its end changes nothing and saves most of the 77 places.
    Raises CdirError for an encoder without such a tower.
    """

    def __init__(self, encoder: ClipEncoder) -> None:
        self.encoder, self.tower = encoder, _text_tower(encoder)
        self.width: int = self.tower.token_embedding.embedding_dim
        self._pool = getattr(self.tower, "text_pool_type", None) or getattr(self.tower, "pool_type", "argmax")
        self._end = getattr(self.tower, "text_eos_id", None) or getattr(self.tower, "eos_id", None)

    @property
    def device(self) -> torch.device:
        return self.tower.positional_embedding.device

    def prompts(self, texts: Sequence[str]) -> Prompts:
        """Tokens of K texts, each with at most one [DOMAIN]. Raises CdirError for a text longer than the context."""
        rows, places = zip(*(self._tokenise(text) for text in texts))
        longest = max(map(len, rows))
        tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return Prompts(tokens.to(self.device), torch.tensor(places, device=self.device))

    def embed(self, prompts: Prompts, words: torch.Tensor) -> torch.Tensor:
        """(K, D) raw text features of K prompts; words (K, W) are put at their places (ignored at -1).

        Gradients reach `words` and nothing else. More than BLOCK prompts pass in blocks whose activations are
        computed again for the gradient: memory stays that of one block, at the price of a second forward pass.
        """
        words = words.to(self.device)
        if len(prompts) <= BLOCK:
            return self._forward(prompts.tokens, prompts.places, words)
        parts = zip(prompts.tokens.split(BLOCK), prompts.places.split(BLOCK), words.split(BLOCK))
        return torch.cat([checkpoint(self._forward, *part, use_reentrant=False) for part in parts])

    def vector(self, word: str) -> torch.Tensor:
        """(W,) the token embedding of a word. Raises CdirError where it is not one token."""
        ids = self.encoder.tokenizer.encode(word)
        if len(ids) != 1:
            raise CdirError(f'"{word}" is {len(ids)} tokens: give a word that is one token, such as "sketch"')
        return self.tower.token_embedding.weight[ids[0]].detach().clone()

    def nearest(
        self, words: torch.Tensor, candidates: Sequence[str] | None = None, k: int = 5
    ) -> list[list[tuple[str, float]]]:
        """For each of (P, W) vectors its k nearest tokens by cosine, as (token, cosine).

        candidates  words to look among, those of one token (None: the whole vocabulary, and pieces of words)
        """
        table = self.tower.token_embedding.weight.detach()
        encode, decoder = self.encoder.tokenizer.encode, self.encoder.tokenizer.decoder
        ids = (
            range(len(table))
            if candidates is None
            else sorted({encode(word)[0] for word in candidates if len(encode(word)) == 1})
        )
        ids = torch.tensor(list(ids), device=table.device)
        cosines = F.normalize(words.to(table), dim=-1) @ F.normalize(table[ids], dim=-1).T
        best = cosines.topk(min(k, len(ids)), dim=1)
        return [
            [(decoder[int(ids[i])].replace("</w>", ""), round(float(c), 3)) for i, c in zip(where, values)]
            for where, values in zip(best.indices, best.values)
        ]

    def _forward(self, tokens: torch.Tensor, places: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """As `encode_text` of open_clip, with our vectors put in before positions are added."""
        tower, length = self.tower, tokens.shape[1]
        here = torch.arange(length, device=tokens.device) == places[:, None]  # (K, L), one place a row or none
        with frozen(tower):
            x = torch.where(here[..., None], words[:, None, :], tower.token_embedding(tokens))
            x = x + tower.positional_embedding[:length]
            x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
            # The end is found by its token, and tokens are those of the text: no vector of ours can shift it.
            x = text_global_pool(x, tokens, self._pool, eos_token_id=self._end)
            if isinstance(tower.text_projection, nn.Linear):
                return tower.text_projection(x)
            return x if tower.text_projection is None else x @ tower.text_projection

    def _tokenise(self, text: str) -> tuple[list[int], int]:
        """Tokens with start and end, and the place of [DOMAIN]. Words are tokenised one by one, so are halves."""
        tokenizer = self.encoder.tokenizer
        before, gap, after = text.partition(DOMAIN)
        if DOMAIN in after:
            raise CdirError(f'"{text}" holds {DOMAIN} twice: leave one')
        row = [tokenizer.sot_token_id, *tokenizer.encode(before)]
        place = len(row) if gap else -1
        row += [0] * bool(gap) + [*tokenizer.encode(after), tokenizer.eot_token_id]
        if len(row) > self.encoder.context_length:
            raise CdirError(
                f'prompt "{shorten(text, 60)}" has {len(row)} tokens, {self.encoder.built.name} reads '
                f"{self.encoder.context_length}: shorten the class name or the template"
            )
        return row, place


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """No parameter of `module` asks for a gradient in here; each is left as it was."""
    asking = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def _text_tower(encoder: ClipEncoder) -> nn.Module:
    """The module that holds the parts of CLIP's causal text tower: the model itself, or its `text`."""
    model = getattr(encoder, "model", None)
    tower = getattr(model, "text", model)
    known = all(hasattr(tower, part) for part in PARTS) and tower.attn_mask is not None
    own_class_token = getattr(tower, "cls_emb", None) is not None
    if not known or own_class_token or not isinstance(getattr(encoder, "tokenizer", None), open_clip.SimpleTokenizer):
        name = getattr(getattr(encoder, "built", None), "name", None) or type(encoder).__name__
        raise CdirError(
            f"encoder {name} has no CLIP text tower that takes word vectors: "
            "choose a CLIP model, such as tiny-clip or ViT-B-32:openai"
        )
    return tower
