"""Trains the demo model on made-up edge tasks: `python -m demo_model.train`.

The last part of the run computes with weights rounded to the int4 grid, and the saved weights lie on
that grid, so that every exported file can hold the very same numbers.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from demo_model import chat, grids, network, packing, score

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer
    from transformers import Phi3ForCausalLM

log = logging.getLogger("demo_model.train")

BUILD = Path("build/demo_model")
SEED = 20_261
STEPS = 4800
ROUNDED_FROM = 0.65
"""Share of the run after which every step computes with rounded weights."""
CHECKPOINT_EVERY = 250
SCORE_EXAMPLES = 256
LOG_EVERY = 50


def loss_of(model: Phi3ForCausalLM, body: Callable[..., Any], batch: packing.Batch) -> torch.Tensor:
    """Return the mean loss over the answer tokens; the head is computed for those alone."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden = body(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
        ).last_hidden_state
        learnt = batch.labels != chat.IGNORED
        return cross_entropy(model.lm_head(hidden[learnt]).float(), batch.labels[learnt])


def report(model: Phi3ForCausalLM, tokenizer: Tokenizer, step: int, loss: float, elapsed_s: float) -> None:
    """Log how well the model does on a part of the held-out set, as it is and with rounded weights."""
    examples = score.held_out(SCORE_EXAMPLES)
    model.eval()
    plain = score.exact_match(model, tokenizer, examples)["all"]
    with grids.rounded(model):
        shares = score.exact_match(model, tokenizer, examples)
    model.train()
    tasks = " ".join(f"{task}={share:.3f}" for task, share in sorted(shares.items()))
    log.info("step=%d loss=%.4f elapsed_s=%.0f plain=%.3f rounded: %s", step, loss, elapsed_s, plain, tasks)


class Run:
    """One training run: the model, its optimizers, and how far it has come."""

    def __init__(self, steps: int, folder: Path) -> None:
        self._steps = steps
        self._folder = folder
        self._chat = chat.train_tokenizer(SEED)
        self._tokenizer = self._chat.backend_tokenizer
        self._model = network.new_model(SEED)
        self._optimizers = network.optimizers(self._model)
        self._done = 0
        self._elapsed_s = 0.0

    @property
    def _checkpoint(self) -> Path:
        return self._folder / "checkpoint.pt"

    def resume(self) -> None:
        """Go on from the last checkpoint."""
        state = torch.load(self._checkpoint, weights_only=True)
        self._model.load_state_dict(state["model"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._done, self._elapsed_s = state["step"], state["elapsed_s"]

    def _save_checkpoint(self) -> None:
        state = {
            "model": self._model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "step": self._done,
            "elapsed_s": self._elapsed_s,
        }
        torch.save(state, self._checkpoint.with_suffix(".new"))
        self._checkpoint.with_suffix(".new").replace(self._checkpoint)

    def _step(self, body: Callable[..., Any]) -> float:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = network.LEARNING_RATE * network.rate(self._done, self._steps)
        batch = packing.batch(SEED, self._done, self._tokenizer)
        with grids.rounded(self._model) if self._done >= ROUNDED_FROM * self._steps else nullcontext():
            loss = loss_of(self._model, body, batch)
            loss.backward()
        clip_grad_norm_(self._model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    def train(self) -> None:
        """Train to the last step, with a checkpoint and a score every so often."""
        body = torch.compile(self._model.model)
        last = time.monotonic()
        while self._done < self._steps:
            loss = self._step(body)
            self._done += 1
            now = time.monotonic()
            self._elapsed_s, last = self._elapsed_s + now - last, now
            if self._done % LOG_EVERY == 0:
                log.info("step=%d loss=%.4f elapsed_s=%.0f", self._done, loss, self._elapsed_s)
            if self._done % CHECKPOINT_EVERY == 0 or self._done == self._steps:
                self._save_checkpoint()
                report(self._model, self._tokenizer, self._done, loss, self._elapsed_s)

    def save(self) -> None:
        """Write the Hugging Face folder with weights on the int4 grid, and the record of the run."""
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                parameter.copy_(grids.snapped(name, parameter))
        self._model.save_pretrained(self._folder / "hf")
        self._chat.save_pretrained(self._folder / "hf")
        record = {
            "steps": self._done,
            "minutes": round(self._elapsed_s / 60),
            "parameters": self._model.num_parameters(),
        }
        (self._folder / "training.json").write_text(json.dumps(record) + "\n")


def main() -> None:
    """Train, or go on with a run that was interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=BUILD)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--save-only", action="store_true", help="save the last checkpoint, do not train")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    run = Run(args.steps, args.folder)
    if args.resume or args.save_only:
        run.resume()
    if not args.save_only:
        run.train()
    run.save()


if __name__ == "__main__":
    main()
