/** The command line against PEFT: a whole run of LoRA, and the loss of an adapter that PEFT wrote. */

import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { readPeftAdapter, writePeftAdapter } from "../../src/io/peft.ts";
import {
  golden,
  LORA_RUNS,
  readCases,
  readLora,
  readTensors,
  SMALL_MODELS,
  TOLERANCE,
} from "../support/golden.ts";
import { copyFamily, FAMILY_LORA_RUNS } from "../support/families.ts";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { relativeError } from "../oracle/compare.ts";

for (const run of [...LORA_RUNS, ...FAMILY_LORA_RUNS]) {
  const kind = FAMILY_LORA_RUNS.includes(run) ? "family " : "";
  run.test(`${kind}${run.name}: train --method lora has PEFT's losses and ends at its adapters`, () =>
    withFolder(async (folder) => {
      const model = kind === "" ? run.folder : folder;
      if (kind !== "") await copyFamily(run, folder);
      const { init, final, batches, losses } = await readLora(run);
      await writePeftAdapter(join(folder, "init"), init, { baseModel: run.name });
      await Deno.writeTextFile(
        join(folder, "data.jsonl"),
        batches.flat().map((row) => JSON.stringify({ input_ids: row })).join("\n"),
      );
      const [rows, tokens] = [batches[0].length, batches[0][0].length];
      const { code, err } = await runCommand(
        "train --method lora --base f32 --no-shuffle --no-packing " +
          `--batch-size ${rows} --sequence-length ${tokens} --steps ${batches.length} ` +
          `--learning-rate 1e-3 --max-grad-norm ${run.maxGradNorm} ` +
          `--model ${model} --data ${folder}/data.jsonl ` +
          `--adapter ${folder}/init --output-dir ${folder}/out`,
      );
      assertEquals(code, 0, err);

      const log = (await Deno.readTextFile(join(folder, "out/training_log.jsonl"))).trim();
      const got = log.split("\n").map((line): number => JSON.parse(line).loss);
      assertEquals(got.length, losses.length);
      const differences = got.map((loss, i) => {
        const difference = Math.abs(loss - losses[i]);
        assert(difference <= TOLERANCE.loss, `step ${i + 1}: the loss is off by ${difference}`);
        return difference;
      });

      const { config, tensors } = await readPeftAdapter(join(folder, "out"));
      // The order of names means nothing.
      assertEquals(
        { ...config, targetModules: config.targetModules.toSorted() },
        { ...final.config, targetModules: final.config.targetModules.toSorted() },
      );
      assertEquals(tensors.size, final.tensors.size);
      const errors = [...final.tensors].flatMap(([module, want]) =>
        (["A", "B"] as const).map((factor) => {
          const error = relativeError(tensors.get(module)![factor], want[factor]);
          assert(error <= run.factorTolerance, `${factor} of ${module} is off by ${error}`);
          return error;
        })
      );
      console.log(
        `  ${run.name}: losses within ${Math.max(...differences)}, ` +
          `factors within ${Math.max(...errors)}`,
      );
    }));
}

Deno.test("eval of an adapter that PEFT wrote gives PEFT's loss, not the model's", () =>
  withFolder(async (folder) => {
    const llama3 = SMALL_MODELS.find(({ name }) => name === "llama3")!;
    const { inputIds, labels, loss: without } = (await readCases(llama3))[1];
    const want =
      (await readTensors(`${golden}llama3/peft-lora.safetensors`)).get("adapted.loss")![0];
    const row = { input_ids: [...inputIds], labels: [...labels] };
    await Deno.writeTextFile(join(folder, "data.jsonl"), JSON.stringify(row));
    const { code, out, err } = await runCommand(
      `eval --model ${llama3.folder} --adapter ${llama3.folder}/adapter --data ${folder}/data.jsonl`,
    );
    assertEquals(code, 0, err);
    const { loss } = JSON.parse(out.trim().split("\n").at(-1)!);
    assert(Math.abs(loss - want) <= TOLERANCE.loss, `${loss}, PEFT: ${want}`);
    assert(Math.abs(want - without) > 20 * TOLERANCE.loss);
    console.log(`  loss within ${Math.abs(loss - want)}`);
  }));
