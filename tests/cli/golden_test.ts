import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { type PeftAdapter, readPeftAdapter, writePeftAdapter } from "../../src/io/peft.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { goldenTest, sharedPath } from "../support/golden.ts";
import { relativeError } from "../support/gpu.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";

/** Reads the adapters under `prefix` of the golden file: rank 8, alpha 16, every linear layer. */
async function readAdapter(file: SafetensorsFile, prefix: string): Promise<PeftAdapter> {
  const tensors: PeftAdapter["tensors"] = new Map();
  const floats = async (name: string) => new Float32Array((await file.read(name)).buffer);
  const kinds = new Set<string>();
  for (const { name, shape: [, inFeatures] } of file.tensors.values()) {
    const match = name.match(/^(\w+)\.base_model\.model\.(.+)\.lora_A\.default\.weight$/);
    if (match?.[1] !== prefix) continue;
    const other = name.replace("lora_A", "lora_B");
    const [A, B] = [await floats(name), await floats(other)];
    const outFeatures = file.tensors.get(other)!.shape[0];
    tensors.set(match[2], { A, B, inFeatures, outFeatures });
    kinds.add(match[2].split(".").at(-1)!);
  }
  assertEquals(tensors.size, 35);
  return { config: { rank: 8, alpha: 16, useRslora: false, targetModules: [...kinds] }, tensors };
}

goldenTest(
  "train --method lora follows PEFT's 30 losses and ends at its adapters",
  () =>
    withFolder(async (folder) => {
      using file = await SafetensorsFile.open(
        `${sharedPath}golden/peft-lora-stories260K.safetensors`,
      );
      await writePeftAdapter(join(folder, "init"), await readAdapter(file, "init"), {
        baseModel: "stories260K",
      });
      const ids = new Int32Array((await file.read("batches")).buffer);
      const rows = Array.from({ length: 120 }, (_, i) => [...ids.subarray(64 * i, 64 * (i + 1))]);
      await Deno.writeTextFile(
        join(folder, "data.jsonl"),
        rows.map((row) => JSON.stringify({ input_ids: row })).join("\n"),
      );
      const { code, err } = await runCommand(
        "train --method lora --precision f32 --no-shuffle --no-packing --batch-size 4 " +
          "--sequence-length 64 --steps 30 --learning-rate 1e-3 --max-grad-norm 1 " +
          `--model ${sharedPath}models/stories260K --data ${folder}/data.jsonl ` +
          `--adapter ${folder}/init --output ${folder}/out`,
      );
      assertEquals(code, 0, err);

      const golden = new Float32Array((await file.read("losses")).buffer);
      const log = (await Deno.readTextFile(join(folder, "out/training_log.jsonl"))).trim();
      const losses = log.split("\n").map((line): number => JSON.parse(line).loss);
      assertEquals(losses.length, golden.length);
      losses.forEach((loss, i) =>
        assert(Math.abs(loss - golden[i]) < 2e-3, `step ${i + 1}: ${loss}`)
      );

      const want = await readAdapter(file, "final");
      const { config, tensors } = await readPeftAdapter(join(folder, "out"));
      assertEquals(config, want.config);
      for (const [module, { A, B }] of want.tensors) {
        const got = tensors.get(module)!;
        const errors = [relativeError(got.A, A), relativeError(got.B, B)];
        assert(Math.max(...errors) < 1e-3, `${module}: ${errors}`);
      }
    }),
);
