"""Show, Attend and Tell (Xu, Ba, Kiros, Cho, Courville, Salakhutdinov, Zemel and Bengio, ICML 2015).

Implements section 3.1, soft attention with the gate and the doubly stochastic penalty (4.2), and hard attention, whose
training rule (4.1) is in `sat_hard.py`. What the paper leaves open is as in the authors' code
(kelvinxu/arctic-captions@f4565bf, its COCO configuration), whose 35,333,450 parameters this has at its defaults:

    P_i = tanh(W_2 (W_1 a_i + b_1) + b_2)                             f_att: no tanh between its two maps of a region
    e_ti = u tanh(P_i + W_d h_{t-1}) + c,  alpha_t = softmax_i e_ti
    zhat_t = beta_t sum_i alpha_ti a_i,  beta_t = sigmoid(w_beta h_{t-1} + b)
    h_t, c_t = LSTM with gates i, f, o, g of W E y_{t-1} + U h_{t-1} + Z zhat_t + b
    h_0 = tanh(W_h x + b), c_0 = tanh(W_c x + b),  x = relu(W_x mean_i a_i + b)
    p(y_t) = softmax(L_o (E y_{t-1} + L_h h_t + L_z zhat_t))          Eq. 2, with biases

- The word before the first is the zero vector. The gated zhat_t enters both the LSTM and the output. For hard attention
  the paper has no gate, but the code has (`gate`).
- Dropout acts on x, on h_t before L_h, and before L_o; neither on the gates nor on what is attended to.
- Weights start Gaussian (0.01), square ones orthogonal, all but W_1; biases start at 0. The code drops out by a mask of
  ones and zeros and halves when it tests, where `nn.Dropout` doubles when it trains: so W_h, W_c, L_h and L_o, which
  read what dropout left, start `1 - dropout` times as large here, and training and testing begin as the code's do. From
  then on a step of Adam, which is as long whatever the gradient's scale, moves these four twice as far as there.
  With `start="scaled"`, which is not the code's, each map starts as PyTorch draws it, by the size of what it reads, and
  word vectors Gaussian (0.1): a start within 0.01 suits the large features of VGG-19 alone.

Where paper and code differ the paper is followed, and the code is an option:

- `output="code"`: a tanh before L_o.
- `penalty_scale="code"`: lambda times the mean over regions, where the paper has their sum, and the sum over captions,
  where the rest of the loss is their mean: N regions and B captions turn the paper's lambda into lambda B / N, where B
  counts the captions of this forward pass, on one device.

The code trains on captions of one length. Here they may be padded, and padding enters neither sum nor logits. Captions
that share an image share its draws of dropout. `embedding_dropout` (on E y) and `region_dropout` (on a, one draw for
all steps) are neither the paper's nor the code's; they are for small data.

What depends on the image alone is computed once per image, what depends on the words alone for all words together. The
two maps of P have nothing between them, so that they are applied as one, W_2 W_1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_packed_sequence

from saccade.errors import RecipeError
from saccade.hypotheses import Look
from saccade.limits import COUNT, NOT_NEGATIVE, PART, SHARE, WIDTH, check_limit
from saccade.models.sat_attention import Attention, Glimpse
from saccade.models.sat_hard import LOOKS, advantages, estimator, expected_captions
from saccade.nn.attention import masked_mean
from saccade.nn.text_encoders import pack_words
from saccade.types import AttentionMap, Captions, Decoded, DecoderState, Regions, Words


class SAT(nn.Module):
    """Show, Attend and Tell: a caption written word by word, with a glimpse of the image before each."""

    baseline: Tensor  # b, of hard attention

    def __init__(
        self,
        num_words: int,
        *,
        region_size: int = 512,
        hidden_size: int = 1800,
        embedding_size: int = 512,
        attention_size: int = 512,
        attend: Literal["soft", "hard"] = "soft",
        gate: bool = True,
        output: Literal["paper", "code"] = "paper",
        start: Literal["code", "scaled"] = "code",
        dropout: float = 0.5,
        embedding_dropout: float = 0.0,
        region_dropout: float = 0.0,
        penalty: float = 1.0,
        penalty_scale: Literal["paper", "code"] = "paper",
        expectation: float = 0.5,
        coin: Literal["image", "batch"] = "image",
        reward_weight: float = 0.5,
        entropy_weight: float = 0.13,
        look: Look = "expectation",
    ) -> None:
        """Sizes default to the authors' for COCO with the 14 x 14 regions of VGG-19.

        - `num_words`: words in the vocabulary, those for padding, unknown and end among them
        - `region_size`: numbers of a region
        - `hidden_size`: width of the LSTM
        - `embedding_size`: numbers of a word
        - `attention_size`: width of P and of x, both as wide as a region in the code
        - `attend`: soft: to the mean of the regions by their weights; hard: to one that is drawn
        - `gate`: whether beta, how much of the context is let in, is learnt
        - `output`: paper: words are predicted from the sum itself; code: from its tanh
        - `start`: how weights start. code: as the authors', for VGG-19; scaled: by the size of what each layer reads
        - `dropout`: share dropped in training of x, of the state before words are predicted, and of their sum
        - `embedding_dropout`: share of a word's numbers that is dropped in training, for small data
        - `region_dropout`: share of a region's numbers that is dropped in training, for small data
        - `penalty`: soft attention: lambda, what it costs to leave regions unseen
        - `penalty_scale`: soft attention: the scale of lambda, the paper's or the code's
        - `expectation`: hard attention: share of captions that train on the mean of the regions, not on a drawn one
        - `coin`: hard attention: whether that is decided for each image's caption or for a whole batch
        - `reward_weight`: hard attention: lambda_r, weight of the reward of a drawn region
        - `entropy_weight`: hard attention: lambda_e, weight of the entropy of its weights
        - `look`: hard attention: how it looks when it does not train and is not told
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words)
        check_limit(
            WIDTH,
            region_size=region_size,
            hidden_size=hidden_size,
            embedding_size=embedding_size,
            attention_size=attention_size,
        )
        check_limit(PART, dropout=dropout, embedding_dropout=embedding_dropout, region_dropout=region_dropout)
        check_limit(NOT_NEGATIVE, penalty=penalty, reward_weight=reward_weight, entropy_weight=entropy_weight)
        check_limit(SHARE, expectation=expectation)
        self.hard, self.output, self.look = attend == "hard", output, look
        self._looking(look)
        self.penalty, self.penalty_scale, self.expectation = penalty, penalty_scale, expectation
        self.coin, self.reward_weight, self.entropy_weight = coin, reward_weight, entropy_weight

        self.embedding = nn.Embedding(num_words, embedding_size, padding_idx=0)  # E
        self.initial = nn.Linear(region_size, attention_size)  # W_x
        self.initial_h = nn.Linear(attention_size, hidden_size)
        self.initial_c = nn.Linear(attention_size, hidden_size)
        self.attention = Attention(region_size, hidden_size, attention_size)
        self.beta = nn.Linear(hidden_size, 1) if gate else None
        self.gates_word = nn.Linear(embedding_size, 4 * hidden_size)  # W, b: each of the gates i, f, o, g below another
        self.gates_state = nn.Linear(hidden_size, 4 * hidden_size, bias=False)  # U
        self.gates_context = nn.Linear(region_size, 4 * hidden_size, bias=False)  # Z
        self.output_state = nn.Linear(hidden_size, embedding_size)  # L_h
        self.output_context = nn.Linear(region_size, embedding_size)  # L_z
        self.output_word = nn.Linear(embedding_size, num_words)  # L_o
        self.dropout = nn.Dropout(dropout)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.region_dropout = nn.Dropout(region_dropout)
        if self.hard:
            self.register_buffer("baseline", torch.zeros(()))
        if start == "code":
            self._reset()
        else:
            nn.init.normal_(self.embedding.weight[1:], std=0.1)

    def forward(
        self,
        regions: Regions,
        captions: Words,
        *,
        attention: bool = True,
        look: Look | None = None,
        generator: torch.Generator | None = None,
    ) -> Captions:
        """Logits of each word given those before it; the map over regions and beta of each word.

        `look` is how hard attention looks when it does not train; what it draws comes from `generator`, by default
        PyTorch's own. While it trains, also the penalty: the doubly stochastic one, or hard attention's term, whose
        gradient alone has a meaning. Raises RecipeError where soft attention is told to look otherwise.
        """
        image, state = self._see(regions)
        ids = nn.functional.pad(captions.ids.masked_fill(~captions.mask, 0)[:, :-1], (1, 0))
        packed = pack_words(self._embed(ids), captions.mask)  # the longest first: captions that end leave the steps
        image = tuple(regions.per_text(each)[packed.sorted_indices] for each in image)
        h, c = (regions.per_text(each)[packed.sorted_indices] for each in state)
        coins = None
        if self.hard and self.training:
            coins = expected_captions(self.expectation, self.coin, captions.mask, generator)
        expected = None if coins is None else coins[packed.sorted_indices]
        choose = self._looking(look if coins is None else "sample", generator)

        states, glimpses = [], []
        for of_word in self.gates_word(packed.data).split(packed.batch_sizes.tolist()):
            if (n := len(of_word)) < len(h):
                h, c, image = h[:n], c[:n], tuple(each[:n] for each in image)
                expected = None if expected is None else expected[:n]
            h, c, glimpse = self._advance(of_word, h, c, image, choose, expected)
            states.append(h)
            glimpses.append(glimpse)

        def padded(steps: Sequence[Tensor]) -> Tensor:
            whole = packed._replace(data=torch.cat(list(steps)))
            return pad_packed_sequence(whole, batch_first=True, total_length=captions.ids.shape[1])[0]

        contexts = torch.cat([glimpse.context for glimpse in glimpses])
        logits = padded([self._predict(packed.data, torch.cat(states), contexts)])
        alpha, weights = (padded([getattr(glimpse, name) for glimpse in glimpses]) for name in ("alpha", "weights"))
        maps = [AttentionMap(weights, ("words", "regions"), "attention", "rows")]
        betas = [glimpse.beta for glimpse in glimpses if glimpse.beta is not None]
        if betas:
            maps.append(AttentionMap(padded(betas), ("words",), "beta", "raw"))
        penalty = None
        if self.training:
            penalty = self._penalty(alpha, weights, logits, captions, regions.per_text(regions.mask), coins)
        return Captions(logits, tuple(maps) if attention else (), penalty)

    def start(self, regions: Regions) -> DecoderState:
        """The state before the first word, one row for each image."""
        return DecoderState(*self._see(regions))

    def step(
        self,
        state: DecoderState,
        words: Int[Tensor, " rows"],
        *,
        look: Look | None = None,
        generator: torch.Generator | None = None,
    ) -> Decoded:
        """Logits of the words that follow the given ones; where it looked, as `forward` may be told, and beta."""
        h, c = state.rows
        embedded = self._embed(words)
        h, c, glimpse = self._advance(self.gates_word(embedded), h, c, state.images, self._looking(look, generator))
        maps = [AttentionMap(glimpse.weights, ("regions",), "attention")]
        if glimpse.beta is not None:
            maps.append(AttentionMap(glimpse.beta, (), "beta", "raw"))
        return Decoded(self._predict(embedded, h, glimpse.context), DecoderState(state.images, (h, c)), tuple(maps))

    def _see(self, regions: Regions) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """What stays the same from word to word, a, P, its tanh and the mask, and h_0 and c_0."""
        a = self.region_dropout(regions.features)
        P = self.attention.project(a)
        x = self.dropout(torch.relu(self.initial(masked_mean(a, regions.mask))))
        # Under autocast the regions are rounded here, not in each step; the state, which sums over steps, is not.
        h, c = (torch.tanh(initial(x)).to(initial.weight.dtype) for initial in (self.initial_h, self.initial_c))
        return (a.to(P.dtype), P, torch.tanh(P.detach()), regions.mask), (h, c)

    def _looking(self, look: Look | None, generator: torch.Generator | None = None) -> Callable[[Tensor], Tensor]:
        """How alpha becomes the weights that regions are pooled with."""
        look = look or self.look
        if not self.hard and look != "expectation":
            raise RecipeError(
                f"look: soft attention knows the expectation alone, got {look!r}: leave it out or use hard"
            )
        looking = LOOKS[look]
        return lambda alpha: looking(alpha, generator)

    def _embed(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch embedding"]:
        embedded: Tensor = self.embedding_dropout(self.embedding(ids))
        return embedded

    def _advance(
        self,
        of_word: Float[Tensor, "rows gates"],
        h: Float[Tensor, "rows hidden"],
        c: Float[Tensor, "rows hidden"],
        image: tuple[Tensor, ...],
        choose: Callable[[Tensor], Tensor],
        expected: Bool[Tensor, " rows"] | None = None,
    ) -> tuple[Tensor, Tensor, Glimpse]:
        """h_t, c_t and the glimpse between; `choose` makes its weights of alpha, but for captions that are `expected`.

        Those train on the expectation.
        """
        a, *offered, mask = image
        alpha = self.attention(h, *offered, mask)
        weights = choose(alpha)
        if expected is not None:
            weights = torch.where(expected[:, None, None], alpha, weights)
        context, beta = (weights @ a).flatten(0, 1), None  # Eq. 4, 8
        if self.beta is not None:
            beta = torch.sigmoid(self.beta(h))
            context = beta * context

        gates = of_word + self.gates_state(h) + self.gates_context(context)
        sigmoids, g = gates.split((3 * h.shape[1], h.shape[1]), 1)
        i, f, o = torch.sigmoid(sigmoids).chunk(3, 1)
        c = f * c + i * torch.tanh(g)
        h = o * torch.tanh(c)
        return h, c, Glimpse(context, alpha.flatten(0, 1), weights.flatten(0, 1), None if beta is None else beta[:, 0])

    def _predict(
        self,
        embedded: Float[Tensor, "*batch embedding"],
        h: Float[Tensor, "*batch hidden"],
        context: Float[Tensor, "*batch size"],
    ) -> Float[Tensor, "*batch vocabulary"]:
        """Eq. 2, before its softmax."""
        r = embedded + self.output_state(self.dropout(h)) + self.output_context(context)
        logits: Tensor = self.output_word(self.dropout(torch.tanh(r) if self.output == "code" else r))
        return logits

    def _penalty(
        self,
        alpha: Float[Tensor, "captions words regions"],
        weights: Float[Tensor, "captions words regions"],
        logits: Float[Tensor, "captions words vocabulary"],
        captions: Words,
        regions: Bool[Tensor, "captions regions"],
        expected: Bool[Tensor, " captions"] | None,
    ) -> Float[Tensor, " captions"]:
        """What is added to the negative log-likelihood of each caption; all tables are 0 for padding."""
        if expected is None:
            uncovered = ((1 - alpha.sum(1)) * regions).square().sum(1)
            if self.penalty_scale == "code":
                uncovered = uncovered * len(regions) / regions.sum(1).clamp(min=1)
            return self.penalty * uncovered
        gains = self.reward_weight * advantages(logits, captions, self.baseline).masked_fill(expected, 0)
        return estimator(alpha, weights, gains, self.entropy_weight)

    @torch.no_grad()
    def _reset(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                stacked = module in (self.gates_word, self.gates_state)
                for weight in module.weight.chunk(4) if stacked else [module.weight]:
                    _start(weight)
                if module.bias is not None:
                    module.bias.zero_()
        for weight in (self.attention.first.weight, self.embedding.weight):
            weight.normal_(std=0.01)
        self.embedding.weight[0] = 0
        for linear in (self.initial_h, self.initial_c, self.output_state, self.output_word):
            linear.weight.mul_(1 - self.dropout.p)


def _start(weight: Tensor) -> None:
    """Orthogonal when square, else Gaussian."""
    if weight.shape[0] == weight.shape[1]:
        nn.init.orthogonal_(weight)
    else:
        weight.normal_(std=0.01)
