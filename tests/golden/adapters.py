"""Adapters of every kind that PEFT saves, on llama3, and a run of DoRA with rsLoRA.

Run like make.py: `.cache/golden/bin/python tests/golden/adapters.py` (accelerate need not be there).
It writes `adapters/KIND/` with `golden.safetensors` (logits and loss of case 1) beside the adapter.
"""

import random
import shutil
from pathlib import Path

import torch
from lora import draw_chains
from models import MODELS, f32, i32
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

FOLDER = Path(__file__).parent
NAME = "llama3"

KINDS = {
    "patterns": dict(
        target_modules=r".*\.(1)\.(self_attn\.q_proj|mlp\.down_proj)|.*\.0\.mlp\.up_proj",
        rank_pattern={"down_proj": 2}, alpha_pattern={r"layers\.1\.mlp\.down_proj": 12},
    ),
    "layers": dict(target_modules=["q_proj", "up_proj"], layers_to_transform=[1]),
    "dora": dict(target_modules=["q_proj", "v_proj", "down_proj"], use_dora=True, use_rslora=True),
    "lora-bias": dict(target_modules=["q_proj", "gate_proj"], lora_bias=True),
    "embed": dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
    "head": dict(target_modules=["q_proj", "lm_head"]),
    "tables": dict(target_modules=["v_proj", "embed_tokens"], modules_to_save=["lm_head", "norm"]),
    "tokens": dict(target_modules=["v_proj"], trainable_token_indices=[4, 9]),
}


def load():
    return AutoModelForCausalLM.from_pretrained(
        FOLDER / NAME, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def adapted(seed, **settings):
    torch.manual_seed(seed)
    config = LoraConfig(**{"r": 3, "lora_alpha": 6, "task_type": "CAUSAL_LM", **settings})
    model = get_peft_model(load(), config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter) * (parameter.abs().mean() + 0.3))
    return model


def save(model, folder):
    shutil.rmtree(folder, ignore_errors=True)
    adapter = model.peft_config["default"]
    if not isinstance(adapter.target_modules, str):
        adapter.target_modules = sorted(adapter.target_modules)
    adapter.base_model_name_or_path = NAME
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)


def write_kinds():
    golden = load_file(FOLDER / NAME / "golden.safetensors")
    ids, labels = golden["case0.input_ids"].long(), golden["case0.labels"].long()
    for seed, (kind, settings) in enumerate(KINDS.items()):
        model = adapted(seed, **settings).eval()
        folder = FOLDER / "adapters" / kind
        save(model, folder)
        with torch.no_grad():
            output = model(ids[None], labels=labels[None])
        change = (output.logits[0] - golden["case0.logits"]).abs().max().item()
        values = {"logits": f32(output.logits[0]), "loss": f32(output.loss.reshape(1))}
        save_file(values, folder / "golden.safetensors")
        print(f"{kind}: loss {output.loss.item():.5f}, a logit changes by {change:.2g}")
        assert change > 0.05


def write_run():
    """Six steps of DoRA with rsLoRA, as lora.py trains LoRA; B begins at zero, magnitudes at norms."""
    batches = draw_chains(random.Random(5), MODELS[NAME].config.vocab_size, (6, 2, 27))
    torch.manual_seed(5)
    settings = dict(r=3, lora_alpha=6, use_dora=True, use_rslora=True, task_type="CAUSAL_LM")
    config = LoraConfig(**settings, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"])
    model = get_peft_model(load(), config)
    folder = FOLDER / "adapters" / "dora-run"
    save(model, folder / "init")
    factors = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(factors, lr=1e-2, weight_decay=0.0)
    losses = []
    for batch in batches:
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(factors, 1.0)
        optimizer.step()
        losses.append(loss.item())
    save(model, folder / "final")
    save_file({"batches": i32(batches), "losses": torch.tensor(losses)}, folder / "run.safetensors")
    print(f"DoRA: losses {losses}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_kinds()
    write_run()
