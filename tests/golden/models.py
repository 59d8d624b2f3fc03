"""The tiny models: their sizes, their weights, their tokenizer, and how tensors are stored."""

import json
import math
import random

import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

BOS, EOS, FIRST_WORD = 1, 2, 3
WORDS = "a the sun moon sea hill fox owl bee red old big sees finds likes and is in on by".split()

COMMON = dict(
    bos_token_id=BOS,
    eos_token_id=EOS,
    pad_token_id=0,
    max_position_embeddings=256,
    attn_implementation="eager",
)

# Sizes that no tile of a kernel divides, and few enough that a clone stays small.
MODELS = {
    # Grouped heads, tied embedding, Llama 3's rope: its four frequencies fall on all three
    # branches (kept, between, divided).
    "llama3": LlamaForCausalLM(LlamaConfig(
        **COMMON,
        vocab_size=67,
        hidden_size=48,
        intermediate_size=36,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    )),
    # Mistral's class: heads * head_dim (48) is not the hidden size, one key head for all, linear
    # rope scaling, an lm_head of its own.
    "mistral": MistralForCausalLM(MistralConfig(
        **COMMON,
        vocab_size=53,
        hidden_size=36,
        intermediate_size=28,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=16,
        rms_norm_eps=1e-4,
        tie_word_embeddings=False,
        sliding_window=None,
        rope_parameters={"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0},
    )),
    # As many key heads as query heads, of 10 components, which is no multiple of 4; plain rope, an
    # lm_head of its own, one layer.
    "llama2": LlamaForCausalLM(LlamaConfig(
        **COMMON,
        vocab_size=41,
        hidden_size=30,
        intermediate_size=44,
        num_hidden_layers=1,
        num_attention_heads=3,
        num_key_value_heads=3,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )),
}


def initialize(model, seed):
    """Draws every parameter with Python's generator, which stays the same for good.

    The embedding is small, so that the epsilon of the first norms is felt; linears are large, so
    that what attention does reaches the logits.
    """
    rng = random.Random(seed)
    tied = model.config.tie_word_embeddings
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean, deviation = 0.0, 1.4 / math.sqrt(parameter.shape[-1])
            if "embed_tokens" in name:
                deviation = 0.03
            elif "norm" in name:
                # A tied head is as small as the embedding: the last norm makes up for it.
                mean = 6.0 if tied and name == "model.norm.weight" else 1.0
                deviation = 0.3 * mean
            values = [rng.gauss(mean, deviation) for _ in range(parameter.numel())]
            parameter.copy_(torch.tensor(values).reshape(parameter.shape))


def write_tokenizer(folder):
    """A tokenizer of words, as a model folder needs one; special tokens are 0 to 2."""
    special = ["<unk>", "<s>", "</s>"]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": id,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for id, content in enumerate(special)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: id for id, word in enumerate(special + WORDS)},
            "unk_token": "<unk>",
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n")


def f32(tensor):
    return tensor.detach().to(torch.float32).contiguous()


def i32(tensor):
    return tensor.to(torch.int32).contiguous()
