"""The loss of the completions, computed only where there is something to learn."""

from typing import TYPE_CHECKING, Any

from components.finetune.batches import Batch

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_LOGITS = 1 << 26  # logits computed at once; in fp32 256 MiB
LEAST_SHARED = 8  # a shorter shared prompt is not worth a second pass


class CompletionLoss:
    """Cross-entropy of the completions of a batch under a causal language model.

    Most of a small model's time goes into logits of tokens that are masked in the loss. Here the
    hidden states of the completions alone pass the head, in chunks of bounded size. And what all
    prompts of a batch begin with is computed once: keys and values of the shared tokens are handed
    to every row, gradients included, which is exact because causal attention can't tell the difference.

    Args:
        model: A causal language model of transformers, adapters injected.
        share_prompt: Whether the common beginning of the prompts is computed once. With dropout it
            may not be: each row has to draw its own.
    """

    def __init__(self, model: Any, share_prompt: bool) -> None:
        self.model = model
        self.share_prompt = share_prompt and _keeps_every_key(model)
        self.plain_head = _head_is_plain(model)

    def __call__(self, batch: Batch) -> "Tensor":
        """Return the sum over the completions' tokens, fp32."""
        import torch
        from torch.utils.checkpoint import checkpoint

        if not self.plain_head:
            logits = self.model(input_ids=batch.token_ids, use_cache=False).logits
            return _sum_of_losses(logits[batch.row, batch.column - 1], batch.targets)
        head = self.model.get_output_embeddings()
        hidden, targets = self._hidden(batch), batch.targets
        chunk = max(1, CHUNK_LOGITS // head.out_features)
        if len(targets) <= chunk:
            return _sum_of_losses(head(hidden), targets)
        total = torch.zeros((), device=hidden.device)
        parts = zip(torch.split(hidden, chunk), torch.split(targets, chunk), strict=True)
        for part, wanted in parts:
            # The logits of a chunk are computed again on the way back rather than kept.
            total = total + checkpoint(
                lambda states, tokens: _sum_of_losses(head(states), tokens), part, wanted, use_reentrant=False
            )
        return total

    def _hidden(self, batch: Batch) -> "Tensor":
        """Return [n, hidden] the states from which the completions' tokens are predicted."""
        decoder, rows = self.model.get_decoder(), len(batch.token_ids)
        shared = batch.shared if self.share_prompt and rows > 1 and batch.shared >= LEAST_SHARED else 0
        # Even an empty cache spares transformers its search for packed rows, which waits for the device.
        cache = _attention_cache(self.model)
        if shared and cache is not None:
            decoder(input_ids=batch.token_ids[:1, :shared], past_key_values=cache, use_cache=True)
            for layer in cache.layers:
                layer.keys = layer.keys.expand(rows, -1, -1, -1)
                layer.values = layer.values.expand(rows, -1, -1, -1)
        rest = batch.token_ids[:, shared:]
        output = decoder(input_ids=rest, past_key_values=cache, use_cache=cache is not None)
        states: Tensor = output.last_hidden_state
        return states[batch.row, batch.column - 1 - shared]


def _sum_of_losses(logits: "Tensor", targets: "Tensor") -> "Tensor":
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits.float(), targets, reduction="sum")


def _attention_cache(model: Any) -> Any | None:
    """Return an empty cache of keys and values; None for a model that has other states than these."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache(config=model.config)
    return cache if cache.layers and all(isinstance(layer, DynamicLayer) for layer in cache.layers) else None


def _keeps_every_key(model: Any) -> bool:
    """Whether all tokens stay visible to all later ones: no sliding window, no recurrent state."""
    from transformers.cache_utils import DynamicLayer

    cache = _attention_cache(model)
    return cache is not None and all(type(layer) is DynamicLayer for layer in cache.layers)


def _head_is_plain(model: Any) -> bool:
    """Whether logits are the head's output and nothing else (some models cap or scale them)."""
    import torch

    if model.device.type == "meta":  # no values to compare: an estimate takes the usual case
        return True
    probe = torch.arange(4, device=model.device)[None]
    with torch.no_grad():
        logits = model(input_ids=probe, use_cache=False).logits.float()
        states = model.get_decoder()(input_ids=probe, use_cache=False).last_hidden_state
        return torch.allclose(model.get_output_embeddings()(states).float(), logits, rtol=1e-2, atol=1e-2)
