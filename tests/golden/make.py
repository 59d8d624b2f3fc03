"""Writes the golden values of this folder: what transformers and PEFT compute, in float32 on a CPU.

Why it is here: the tests hold this project's models, gradients and LoRA training against other
people's implementations, and whoever clones the repository must be able to run and remake that.

Run, from the root of the repository (Python 3.11 or newer; the packages come from PyPI):

    python3 -m venv .cache/golden
    .cache/golden/bin/pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2
    .cache/golden/bin/python tests/golden/make.py

It rewrites every file below this folder but the README and the scripts. With the same packages on the same kind of
processor these are the same bytes; elsewhere the computed values may differ in their last bits.
README.md says what the files hold.
"""

import json
import math
import random
import shutil
from pathlib import Path

import torch
from features import without_features
from lora import write_lora
from models import BOS, EOS, FIRST_WORD, MODELS, f32, i32, initialize, write_tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

FOLDER = Path(__file__).parent
TINY_MODEL = FOLDER.parent.parent / "examples/tiny/model"
TINY_PROMPT = "Long ago, a fox named Mia lived in a barn."

CASE_LENGTHS = (33, 70)
GREEDY_TOKENS = 16
# A greedy choice must lead by more than an implementation in float32 can be off.
SMALLEST_LEAD = 1e-3
# The tests hold logits to 2e-4. A feature that is left out must change one by at least this much.
SMALLEST_EFFECT = 2e-2


def logits_of(model, ids):
    with torch.no_grad():
        return model(ids[None]).logits[0]


def draw_case(rng, vocabulary, length):
    """Ids and labels: the first quarter is ignored, and three in the middle."""
    ids = [BOS] + [rng.randrange(FIRST_WORD, vocabulary) for _ in range(length - 1)]
    labels = ids.copy()
    for t in [*range(length // 4), length // 2, length // 2 + 1, length * 3 // 4]:
        labels[t] = -100
    return torch.tensor(ids), torch.tensor(labels)


def continue_greedily(model, prompt, count):
    """The likeliest tokens, each by a forward pass over all before it, and the smallest lead."""
    ids, lead = prompt, math.inf
    for _ in range(count):
        best = logits_of(model, ids)[-1].topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        ids = torch.cat([ids, best.indices[:1]])
    return ids[len(prompt):], lead


def draw_prompt(model, rng):
    """A prompt whose continuation is decided clearly, does not end, and is not one word only."""
    for _ in range(1000):
        prompt, _ = draw_case(rng, model.config.vocab_size, 9)
        greedy, lead = continue_greedily(model, prompt, GREEDY_TOKENS)
        if lead >= SMALLEST_LEAD and EOS not in greedy and len(set(greedy.tolist())) >= 6:
            return prompt, greedy, lead
    raise RuntimeError("no prompt has a clear continuation: choose another seed")


def write_model(name, model, seed):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    initialize(model, seed)
    model.eval()
    model.save_pretrained(folder)
    write_tokenizer(folder)

    rng = random.Random(seed + 1000)
    golden = {}
    for case, length in enumerate(CASE_LENGTHS):
        ids, labels = draw_case(rng, model.config.vocab_size, length)
        model.zero_grad()
        output = model(ids[None], labels=labels[None])
        golden[f"case{case}.input_ids"] = i32(ids)
        golden[f"case{case}.labels"] = i32(labels)
        golden[f"case{case}.logits"] = f32(output.logits[0])
        golden[f"case{case}.loss"] = f32(output.loss.reshape(1))
    output.loss.backward()  # of the last case, the longest
    for parameter, value in model.named_parameters():
        golden[f"case{case}.grad.{parameter}"] = f32(value.grad)

    prompt, greedy, lead = draw_prompt(model, rng)
    golden["greedy.prompt"], golden["greedy.tokens"] = i32(prompt), i32(greedy)
    save_file(golden, folder / "golden.safetensors")

    print(f"{name}: loss {output.loss.item():.4f}, logits up to {output.logits.abs().max():.2f}, "
          f"smallest greedy lead {lead:.1e}, {len(set(greedy.tolist()))} distinct tokens")
    for feature, other in without_features(model):
        effect = (logits_of(other, ids) - output.logits[0]).abs().max().item()
        print(f"  without {feature}: a logit changes by {effect:.2g}")
        assert effect >= SMALLEST_EFFECT, f"{name} does not notice {feature}"
    return ids, labels


def write_tiny():
    """The model of the demo, from text to text."""
    model = AutoModelForCausalLM.from_pretrained(
        TINY_MODEL, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL)
    prompt = torch.tensor(tokenizer(TINY_PROMPT)["input_ids"])
    greedy, lead = continue_greedily(model, prompt, 40)
    assert lead >= SMALLEST_LEAD, f"the smallest lead is {lead}: choose another prompt"
    ids = torch.cat([prompt, greedy])
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert text.startswith(TINY_PROMPT)
    with torch.no_grad():
        loss = model(ids[None], labels=ids[None]).loss.item()
    golden = {
        "prompt": TINY_PROMPT,
        "continuation": text.removeprefix(TINY_PROMPT),
        "promptTokens": len(prompt),
        "ids": ids.tolist(),
        "loss": loss,
    }
    (FOLDER / "tiny.json").write_text(json.dumps(golden) + "\n")
    print(f"tiny: loss {loss:.4f}, smallest lead {lead:.1e}: {text!r}")


def main():
    torch.set_num_threads(1)  # the order of sums must not depend on the machine's cores
    tried = {
        name: write_model(name, model, seed)
        for seed, (name, model) in enumerate(MODELS.items(), start=1)
    }
    write_lora("llama3", *tried["llama3"])
    write_tiny()
    for path in FOLDER.rglob("*.safetensors"):
        assert all(torch.isfinite(t).all() for t in load_file(path).values()), path


if __name__ == "__main__":
    main()
