import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { frozenInt8 } from "../../src/methods/falqon/falqon.ts";
import { frozen } from "../../src/methods/frozen.ts";
import { Model } from "../../src/inference/model.ts";
import { device } from "../support/device.ts";
import { largestDifference, readTensors, TOLERANCE } from "../support/golden.ts";
import { shared, sharedTest, withFolder } from "../support/io.ts";

/** Models quantised by llm-compressor, with values of transformers from the decompressed weights. */
const CHECKPOINTS = ["ct-fp8-dynamic", "ct-fp8-dynamic-bf16", "ct-w8a8", "ct-fp8-transform"];

for (const name of CHECKPOINTS) {
  sharedTest(
    `${name}: logits and loss are transformers', from the weights as they are stored`,
    async () => {
      const folder = join(shared, "golden/checkpoints", name);
      const values = await readTensors(join(folder, "golden.safetensors"));
      using model = await Model.load(folder, { device });
      await model.use(frozen("f32"));
      const ids = values.get("input_ids")!;
      const rows = 3;
      const length = ids.length / rows;
      const vocab = model.config.vocabSize;
      let [loss, worst] = [0, 0];
      for (let row = 0; row < rows; row++) {
        const inputIds = [...ids.subarray(row * length, (row + 1) * length)];
        const want = values.get("logits")!.subarray(
          row * length * vocab,
          (row + 1) * length * vocab,
        );
        worst = Math.max(worst, largestDifference(await model.logits(inputIds), want));
        loss += await model.loss({ inputIds, labels: inputIds }) / rows;
      }
      assert(worst < TOLERANCE.logit, `logits differ by ${worst}`);
      assert(Math.abs(loss - values.get("loss")![0]) < TOLERANCE.loss, `loss ${loss}`);
    },
  );
}

sharedTest(
  "the codes of an int8 file are taken as they are, and saved as they were",
  () =>
    withFolder(async (folder) => {
      const source = join(shared, "golden/checkpoints/ct-w8a8");
      using model = await Model.load(source, { device });
      await model.use(frozenInt8(model.config.quantization!.transforms.rotations.size > 0));
      assertEquals(await model.save(folder, { overwrite: true }), { rounded: false });
      using before = await SafetensorsFile.open(join(source, "model.safetensors"));
      using after = await SafetensorsFile.open(join(folder, "model.safetensors"));
      const names = [...before.tensors.values()].filter(({ dtype }) => dtype === "I8");
      assertEquals(names.length, 5 * 7);
      for (const { name } of names) assertEquals(await after.read(name), await before.read(name));
    }),
);
