/**
 * Preloaded where the examples of doc comments and pages run (`deno task examples`): Deno runs it anew before each of
 * them.
 *
 * The examples train `./model` on `./train.jsonl`, and `train.ts` what is in `./examples`: each runs in a new folder
 * that holds these, the tiny model and its instructions. Whatever they tell a training run, it makes two small steps.
 *
 * @module
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Trainer } from "../../mod.ts";

const examples = fileURLToPath(new URL("../../examples", import.meta.url));
const folder = Deno.makeTempDirSync();
const symlink = (name: string, target: string) => Deno.symlinkSync(target, join(folder, name));
symlink("examples", examples);
symlink("model", join(examples, "tiny/model"));
symlink("train.jsonl", join(examples, "tiny/instructions_train.jsonl"));
Deno.chdir(folder);
addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

const create = Trainer.create;
Trainer.create = (options) =>
  create.call(Trainer, { ...options, batchSize: 2, sequenceLength: 64, steps: 2 });
