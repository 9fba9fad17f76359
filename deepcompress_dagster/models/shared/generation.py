"""Text from models that write one token after another: decoding, its limits, what came of each.

Greedy unless a temperature is set. Every sequence of a batch starts at the same length and is
judged by its own tokens, so that what it becomes does not depend on its neighbours.
"""

import math
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria

from deepcompress_dagster.models import cancellation
from deepcompress_dagster.models.predictor import ModelError

RUNAWAY_TOKENS = 128
"""Tokens at the end of a text that only repeat a shorter piece: the model will not stop."""

LONGEST_PERIOD = 32
"""Tokens of the longest piece whose repetition counts: four in a row, at least."""

CHECK_EVERY = 16
"""Steps between two looks at the text: a look makes the accelerator wait for the CPU."""


TIME_SHARE = 0.9
"""Share of the time limit after which texts are given up: at the limit itself the run ends."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Limits of what may be written; ``time_limit_s`` is for a whole batch, in seconds."""

    max_new_tokens: int = 1024
    repetition_penalty: float = 1.0
    temperature: float = 0.0
    time_limit_s: float | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote for one item, without the end mark.

    ``confidence`` is the geometric mean of the tokens' probabilities. ``problem`` says why the
    text must not be used.
    """

    tokens: tuple[int, ...]
    confidence: float
    problem: str | None = None


def generate(
    model: Any,
    inputs: dict[str, Tensor],
    decoding: Decoding,
    *,
    prompt_length: int,
    pad: int,
    ends: Collection[int],
) -> list[Written]:
    """What ``model`` writes for each item of ``inputs``.

    ``prompt_length`` counts the tokens before the first new one, ``ends`` are the tokens that end
    a text, ``pad`` fills up after them.
    """
    watch = _Watch()
    stop = _Stop(decoding, prompt_length, ends)
    sampling = decoding.temperature > 0
    how = {"temperature": decoding.temperature, "top_k": 0, "top_p": 1.0} if sampling else {}
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            max_new_tokens=decoding.max_new_tokens,
            do_sample=sampling,
            num_beams=1,
            repetition_penalty=decoding.repetition_penalty,
            pad_token_id=pad,
            eos_token_id=list(ends),
            logits_processor=[watch],
            stopping_criteria=[stop],
            **how,
        )
    watch.take(output[:, -1])
    sure = torch.stack(watch.chosen, 1).tolist()
    broken = watch.broken.tolist()
    return [
        _written(row, own, ends, "values that are not numbers" if bad else stop.problems.get(i))
        for i, (row, own, bad) in enumerate(
            zip(output[:, prompt_length:].tolist(), sure, broken, strict=True)
        )
    ]


def usable(name: str, written: Sequence[Written]) -> list[Written | ModelError]:
    """Each text, or the error, with the model's name, that stands in its place."""
    return [
        ModelError(f"{name} wrote {text.problem}; the crop was left out") if text.problem else text
        for text in written
    ]


def repeats(tokens: Sequence[int]) -> bool:
    """Whether the last ``RUNAWAY_TOKENS`` only repeat a piece of ``LONGEST_PERIOD`` or less."""
    tail = list(tokens[-RUNAWAY_TOKENS:])
    if len(tail) < RUNAWAY_TOKENS:
        return False
    return any(tail[period:] == tail[:-period] for period in range(1, LONGEST_PERIOD + 1))


class _Watch(LogitsProcessor):  # type: ignore[misc]
    """Notes the probability of each chosen token, and sequences whose logits are no numbers."""

    def __init__(self) -> None:
        self.chosen: list[Tensor] = []
        self.broken: Tensor = torch.zeros(())
        self._previous: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.take(input_ids[:, -1])
        bad = scores.isnan().any(-1)
        self.broken = bad if self._previous is None else self.broken | bad
        # Numbers again, because sampling from anything else ends the CUDA context.
        scores = torch.where(bad[:, None], torch.zeros_like(scores), scores)
        self._previous = scores.float().log_softmax(-1)
        return scores

    def take(self, tokens: Tensor) -> None:
        """Note what was chosen from the scores that were seen last."""
        if self._previous is not None:
            self.chosen.append(self._previous.gather(1, tokens[:, None])[:, 0])


class _Stop(StoppingCriteria):  # type: ignore[misc]
    """Ends texts that repeat themselves, and all of them at the time limit or when told to."""

    def __init__(self, decoding: Decoding, prompt_length: int, ends: Collection[int]) -> None:
        self.problems: dict[int, str] = {}
        limit = decoding.time_limit_s
        self._limit_s = math.inf if limit is None else TIME_SHARE * limit
        self._deadline = time.monotonic() + self._limit_s
        self._prompt = prompt_length
        self._ends = frozenset(ends)

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        steps = input_ids.shape[1] - self._prompt
        if cancellation.is_requested():
            return self._give_up(input_ids, "nothing: the run was cancelled")
        if time.monotonic() >= self._deadline:
            return self._give_up(input_ids, f"on after {self._limit_s:g} s, its time limit")
        if steps >= RUNAWAY_TOKENS and steps % CHECK_EVERY == 0:
            for row in self._runaways(input_ids):
                self.problems[row] = "the same again and again (runaway repetition)"
        if self.problems:
            done[list(self.problems)] = True
        return done

    def _give_up(self, input_ids: Tensor, problem: str) -> Tensor:
        for row in self._open(input_ids):
            self.problems.setdefault(row, problem)
        return torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)

    def _runaways(self, input_ids: Tensor) -> list[int]:
        tails = input_ids[:, -RUNAWAY_TOKENS:].tolist()
        return [row for row in self._open(input_ids) if repeats(tails[row])]

    def _open(self, input_ids: Tensor) -> Iterable[int]:
        rows = enumerate(input_ids[:, self._prompt :].tolist())
        return [row for row, tokens in rows if self._ends.isdisjoint(tokens)]


def _written(
    tokens: Sequence[int], sure: Sequence[float], ends: Collection[int], problem: str | None
) -> Written:
    length = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
    counted = sure[: length + 1]
    confidence = math.exp(sum(counted) / max(1, len(counted)))
    return Written(tuple(tokens[:length]), confidence, problem)
