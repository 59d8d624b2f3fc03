/**
 * Preloaded where the examples of doc comments and pages run (`deno task examples`): Deno runs it anew before each of
 * them.
 *
 * The examples train `./model` on `./train.jsonl`, and `train.ts` what is in `./examples`: each runs in a new folder
 * that holds these, the tiny model and its instructions. Whatever they tell a training run, it makes two small steps.
 *
 * What they fetch from a hub by name is the tiny model too.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Trainer } from "../../mod.ts";
import { writePeftAdapter } from "../../src/io/peft.ts";

const examples = fileURLToPath(new URL("../../examples", import.meta.url));
const folder = Deno.makeTempDirSync();
const symlink = (name: string, target: string) => Deno.symlinkSync(target, join(folder, name));
symlink("examples", examples);
// The tiny model, with a chat template, and an adapter for it that changes nothing.
Deno.mkdirSync(join(folder, "model"));
for (const { name } of Deno.readDirSync(join(examples, "tiny/model"))) {
  symlink(join("model", name), join(examples, "tiny/model", name));
}
Deno.writeTextFileSync(
  join(folder, "model/chat_template.jinja"),
  "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:",
);
const { hidden_size: width } = JSON.parse(
  Deno.readTextFileSync(join(examples, "tiny/model/config.json")),
);
const factors = { A: new Float32Array(width), B: new Float32Array(width) };
await writePeftAdapter(join(folder, "adapter"), {
  config: { rank: 1, alpha: 1, targetModules: ["o_proj"], useRslora: false },
  tensors: new Map([
    ["model.layers.0.self_attn.o_proj", { ...factors, inFeatures: width, outFeatures: width }],
  ]),
}, { baseModel: join(folder, "model") });
symlink("train.jsonl", join(examples, "tiny/instructions_train.jsonl"));
// Without a network: the model that an example fetches by its name is the tiny one, in a cache.
const cached = join(folder, "home/hub/models--HuggingFaceTB--SmolLM2-135M-Instruct");
const commit = "0".repeat(40);
Deno.mkdirSync(join(cached, "refs"), { recursive: true });
Deno.mkdirSync(join(cached, "snapshots"));
Deno.writeTextFileSync(join(cached, "refs/main"), commit);
Deno.symlinkSync(join(examples, "tiny/model"), join(cached, "snapshots", commit));
Deno.env.set("HF_HOME", join(folder, "home"));
Deno.env.set("HF_HUB_OFFLINE", "1");
Deno.chdir(folder);
addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

const create = Trainer.create;
Trainer.create = (options) =>
  create.call(Trainer, { ...options, batchSize: 2, sequenceLength: 64, steps: 2 });
