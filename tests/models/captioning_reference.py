"""The captioners in NumPy float64, from the papers' equations: one caption at a time, no batch, no padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tests.models.reference import sigmoid, softmax

END = 2
Parameters = dict[str, np.ndarray]


def parameters_of(model: torch.nn.Module) -> Parameters:
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def linear(p: Parameters, name: str, x: np.ndarray) -> np.ndarray:
    return p[f"{name}.weight"] @ x + p.get(f"{name}.bias", 0)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


@dataclass
class Written:
    """What the equations give for one caption: one entry for each word, its end included."""

    logits: np.ndarray
    alphas: np.ndarray
    betas: np.ndarray
    looks: np.ndarray

    def log_likelihood(self, ids: Sequence[int]) -> float:
        return sum(log_softmax(row)[i] for row, i in zip(self.logits, ids, strict=True))

    def log_probability_of_looks(self) -> float:
        return float(np.log((self.alphas * self.looks).sum(1)).sum())

    def entropy(self) -> float:
        return float(-(self.alphas * np.log(self.alphas)).sum())


def sat(
    p: Parameters,
    a: np.ndarray,
    ids: Sequence[int],
    *,
    output: str = "paper",
    look: Callable[[int, np.ndarray], np.ndarray] = lambda t, alpha: alpha,
) -> Written:
    """Show, Attend and Tell's logits of `ids`; `look` chooses what is pooled at step t from alpha."""
    x = np.maximum(linear(p, "initial", a.mean(0)), 0)
    h, c = np.tanh(linear(p, "initial_h", x)), np.tanh(linear(p, "initial_c", x))
    P = [np.tanh(linear(p, "attention.second", linear(p, "attention.first", a_i))) for a_i in a]
    size = len(h)
    logits, alphas, betas, looks = [], [], [], []
    previous = np.zeros(p["embedding.weight"].shape[1])
    for t, word in enumerate(ids):
        e = [linear(p, "attention.logit", np.tanh(P_i + linear(p, "attention.state", h)))[0] for P_i in P]
        alpha = softmax(np.array(e))
        s = look(t, alpha)
        beta = sigmoid(linear(p, "beta", h))[0] if "beta.weight" in p else 1.0
        z = beta * sum(s_i * a_i for s_i, a_i in zip(s, a, strict=True))

        def gate(k: int, previous=previous, h=h, z=z) -> np.ndarray:
            rows = slice(k * size, (k + 1) * size)
            W, U, Z = (p[f"gates_{kind}.weight"][rows] for kind in ("word", "state", "context"))
            return W @ previous + U @ h + Z @ z + p["gates_word.bias"][rows]

        i, f, o, g = sigmoid(gate(0)), sigmoid(gate(1)), sigmoid(gate(2)), np.tanh(gate(3))
        c = f * c + i * g
        h = o * np.tanh(c)
        r = previous + linear(p, "output_state", h) + linear(p, "output_context", z)
        logits.append(linear(p, "output_word", np.tanh(r) if output == "code" else r))
        alphas.append(alpha)
        betas.append(beta)
        looks.append(s)
        previous = p["embedding.weight"][word]
    return Written(np.array(logits), np.array(alphas), np.array(betas), np.array(looks))


def doubly_stochastic(alphas: np.ndarray) -> float:
    """The sum over regions of (1 - sum_t alpha_ti)^2."""
    return float(sum((1 - column.sum()) ** 2 for column in alphas.T))


def nic(p: Parameters, a: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """NIC's logits of `ids`; PyTorch keeps the gates in the order i, f, g, o."""
    E = p["embedding.weight"]
    inputs = [linear(p, "image", a.mean(0)), E[0], *(E[i] for i in ids[:-1])]
    h = c = np.zeros(p["lstm.weight_hh_l0"].shape[1])
    logits = []
    for x in inputs:
        of_word = p["lstm.weight_ih_l0"] @ x + p["lstm.bias_ih_l0"]
        of_state = p["lstm.weight_hh_l0"] @ h + p["lstm.bias_hh_l0"]
        i, f, g, o = np.split(of_word + of_state, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        logits.append(linear(p, "output", h))
    return np.array(logits[1:])
