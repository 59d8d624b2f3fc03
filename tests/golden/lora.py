"""A run of LoRA by PEFT, and the adapter folder that PEFT saves after it."""

import math
import random
from pathlib import Path

import torch
from models import BOS, FIRST_WORD, MODELS, f32, i32
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

FOLDER = Path(__file__).parent

LINEARS = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()

# The tests hold trained factors to 3e-5: rounding must stay below that, and settings above.
LARGEST_ROUNDING = 1e-5
SMALLEST_FACTOR_CHANGE = 9e-5


def draw_chains(rng, vocabulary, shape):
    """Sequences in which a word mostly calls for one other, so that ten steps learn something."""
    follower = rng.sample(range(FIRST_WORD, vocabulary), vocabulary - FIRST_WORD)
    steps, rows, length = shape
    batches = torch.empty(shape, dtype=torch.int64)
    for step in range(steps):
        for row in range(rows):
            id = BOS
            for t in range(length):
                batches[step, row, t] = id
                free = id == BOS or rng.random() < 0.2
                id = rng.randrange(FIRST_WORD, vocabulary) if free else follower[id - FIRST_WORD]
    return batches


def train_lora(name, seed, batches, clip=1.0, dtype=torch.float32, **changes):
    """Trains an adapter by PEFT on the model of that name; labels are the ids."""
    base = AutoModelForCausalLM.from_pretrained(
        FOLDER / name, dtype=torch.float32, attn_implementation="eager"
    )
    torch.manual_seed(seed)
    config = LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, config).to(dtype)
    factors = {n: p for n, p in model.named_parameters() if p.requires_grad}
    run = {f"init.{n}": p.detach().to(torch.float32, copy=True) for n, p in factors.items()}
    settings = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, **changes}
    optimizer = torch.optim.AdamW(factors.values(), **settings)
    losses = []
    for batch in batches:
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(factors.values(), clip)
        optimizer.step()
        losses.append(loss.item())
    run["batches"] = i32(batches)
    run["losses"] = torch.tensor(losses)
    run |= {f"final.{n}": f32(p) for n, p in factors.items()}
    return model.eval(), run


def factor_change(run, other):
    """The largest relative difference of a trained factor."""
    names = [n for n in run if n.startswith("final.")]
    return max(((other[n] - run[n]).norm() / run[n].norm()).item() for n in names)


def draw_lora(name):
    """A run that float32 decides.

    AdamW's first update of an element is its rate times the sign of a gradient: where that is
    nearly zero, rounding chooses, and no two implementations agree. Other seeds have no such
    element.
    """
    vocabulary = MODELS[name].config.vocab_size
    for seed in range(1000):
        batches = draw_chains(random.Random(seed), vocabulary, (10, 2, 27))
        model, run = train_lora(name, seed, batches)
        _, exact = train_lora(name, seed, batches, dtype=torch.float64)
        error = factor_change(exact, run)
        if error <= LARGEST_ROUNDING:
            print(f"PEFT on {name}, seed {seed}: factors within {error:.1e} of those in float64")
            return seed, batches, model, run
    raise RuntimeError("no run is decided by float32")


def write_lora(name, ids, labels):
    """A run of PEFT with the adapter it saves; `ids` and `labels` try the adapter afterwards."""
    folder = FOLDER / name
    seed, batches, model, run = draw_lora(name)

    def loss(ids, labels):
        with torch.no_grad():
            return model(ids, labels=labels).loss.item()

    run["adapted.loss"] = torch.tensor([loss(ids[None], labels[None])])
    save_file(run, folder / "peft-lora.safetensors")

    # PEFT keeps the names as a set, whose order changes from run to run.
    adapter = model.peft_config["default"]
    adapter.target_modules = sorted(adapter.target_modules)
    adapter.base_model_name_or_path = name
    model.save_pretrained(folder / "adapter", save_embedding_layers=False)
    (folder / "adapter/README.md").unlink()  # a form for a model card

    with model.disable_adapter():
        before = loss(ids[None], labels[None])
        untrained = loss(batches[-1], batches[-1])
    print(f"  last loss {run['losses'][-1]:.4f} ({untrained:.4f} untrained), "
          f"case 1 {run['adapted.loss'].item():.4f} ({before:.4f} without the adapter)")
    others = {
        "no clipping": {"clip": math.inf},
        "eps 1e-6": {"eps": 1e-6},
        "beta2 0.99": {"betas": (0.9, 0.99)},
        "decay 0.01": {"weight_decay": 0.01},
    }
    for setting, changes in others.items():
        _, other = train_lora(name, seed, batches, **changes)
        effect = (other["losses"] - run["losses"]).abs().max().item()
        change = factor_change(run, other)
        print(f"  with {setting}: a loss changes by {effect:.2g}, a factor by {change:.2g}")
        assert change >= SMALLEST_FACTOR_CHANGE, f"{name} does not notice {setting}"
