"""NIC, the captioner of "Show and Tell" (Vinyals, Toshev, Bengio and Erhan, CVPR 2015), which attends to nothing.

Follows the first authors' later code, im2txt (tensorflow/models), in sizes and start:

    x_{-1} = W v                        v the image, seen once; W without a bias
    x_0 = E s                           s a start symbol with a vector of its own, here the row of the padding
    x_t = E y_t
    p(y_{t+1}) = softmax(W_o LSTM(x_{-1}, ..., x_t) + b)

- v is the mean of the regions, so that the model sees what the attention models see; the original has the pooled output
  of a GoogLeNet or Inception-v3 that is trained along.
- Dropout acts on all inputs of the LSTM, the image among them, and on its output before W_o.
- Weights start uniform between -0.08 and 0.08, biases at 0, but the forget gate's at 1, as TensorFlow's cell does it.
- The LSTM is the standard one, as in im2txt, which says that the one of the paper has neither biases nor a tanh on the
  cell.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from saccade.limits import COUNT, PART, WIDTH, check_limit
from saccade.nn.attention import masked_mean
from saccade.types import Captions, Decoded, DecoderState, Regions, Words

INITIAL_WEIGHTS = 0.08


class NIC(nn.Module):
    """NIC: a caption written by an LSTM that read the image as its first word; it returns no maps."""

    def __init__(
        self,
        num_words: int,
        *,
        region_size: int = 2048,
        hidden_size: int = 512,
        embedding_size: int = 512,
        dropout: float = 0.3,
    ) -> None:
        """Sizes default to im2txt's, with the 2048 channels of Inception-v3.

        - `num_words`: words in the vocabulary, those for padding, unknown and end among them
        - `region_size`: numbers of a region
        - `hidden_size`: width of the LSTM
        - `embedding_size`: numbers of a word, and of the image as the LSTM reads it
        - `dropout`: share dropped in training of the LSTM's input and output
        """
        super().__init__()
        check_limit(COUNT, num_words=num_words)
        check_limit(WIDTH, region_size=region_size, hidden_size=hidden_size, embedding_size=embedding_size)
        check_limit(PART, dropout=dropout)
        self.image = nn.Linear(region_size, embedding_size, bias=False)  # W
        self.embedding = nn.Embedding(num_words, embedding_size)  # E; row 0 is the start
        self.lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, num_words)  # W_o
        self.dropout = nn.Dropout(dropout)
        self._reset()

    def forward(self, regions: Regions, captions: Words, *, attention: bool = True) -> Captions:  # noqa: ARG002
        """Logits of each word given those before it, without maps."""
        ids = captions.ids.masked_fill(~captions.mask, 0)
        words = self.embedding(nn.functional.pad(ids[:, :-1], (1, 0)))
        image = regions.per_text(self._see(regions)).to(words.dtype)
        states = self.lstm(self.dropout(torch.cat([image.unsqueeze(1), words], 1)))[0]
        return Captions(self.output(self.dropout(states[:, 1:])), ())

    def start(self, regions: Regions) -> DecoderState:
        """The state after the image, before the first word, one row for each image."""
        image = self._see(regions)
        h, c = self.lstm(self.dropout(image).unsqueeze(1))[1]
        return DecoderState((image,), (h[0], c[0]))

    def step(self, state: DecoderState, words: Int[Tensor, " rows"]) -> Decoded:
        """Logits of the words that follow the given ones."""
        h, c = (each.unsqueeze(0) for each in state.rows)
        output, (h, c) = self.lstm(self.dropout(self.embedding(words)).unsqueeze(1), (h, c))
        return Decoded(self.output(self.dropout(output[:, 0])), DecoderState(state.images, (h[0], c[0])), ())

    def _see(self, regions: Regions) -> Float[Tensor, "images embedding"]:
        """The image as a word: the mean region's embedding."""
        image: Tensor = self.image(masked_mean(regions.features, regions.mask))
        return image

    @torch.no_grad()
    def _reset(self) -> None:
        for name, parameter in self.named_parameters():
            if "bias" in name:
                parameter.zero_()
            else:
                parameter.uniform_(-INITIAL_WEIGHTS, INITIAL_WEIGHTS)
            if name == "lstm.bias_ih_l0":
                parameter.chunk(4)[1].fill_(1)  # PyTorch's gates are i, f, g, o
