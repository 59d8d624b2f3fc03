import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import type { Method } from "../../src/layers/method.ts";
import { frozenFp8, frozenInt8 } from "../../src/methods/falqon/falqon.ts";
import { frozen } from "../../src/methods/frozen.ts";
import { Model } from "../../src/inference/model.ts";
import { device } from "../support/device.ts";
import { largestDifference, readTensors, TOLERANCE } from "../support/golden.ts";
import { shared, sharedTest, withFolder } from "../support/io.ts";

const folderOf = (name: string) => join(shared, "golden/checkpoints", name);

/** A model quantised by others, with values of transformers from the decompressed weights. */
interface Checkpoint {
  name: string;
  /** What users are told of it. */
  notices?: RegExp[];
  /** Linear layers that must be rounded anew for one scale per row, and those that stay unquantised. */
  rounded?: number;
  unquantised?: number;
}

const STATIC = [/stored scales of activations are not used/];
const GROUPS = [/wants a scale for each 128 values of an activation/];

const CHECKPOINTS: Checkpoint[] = [
  { name: "ct-fp8-dynamic" },
  { name: "ct-fp8-dynamic-bf16" },
  { name: "ct-fp8-static", notices: STATIC },
  { name: "ct-fp8-block", notices: GROUPS, rounded: 14 },
  { name: "ct-fp8-block-ragged", notices: GROUPS, rounded: 14 },
  { name: "ct-fp8-ignore", unquantised: 6 },
  { name: "ct-fp8-transform", rounded: 5 },
  { name: "ct-w8a8" },
  { name: "fp8-block", notices: GROUPS, rounded: 14 },
  { name: "fp8-block-ragged", notices: GROUPS, rounded: 14 },
  { name: "fp8-tensor-static", notices: STATIC },
  { name: "ct-fp8-dynamic-qwen3" },
  { name: "ct-fp8-static-qwen3", notices: STATIC },
  { name: "ct-fp8-block-qwen3", notices: GROUPS, rounded: 7 },
  { name: "ct-w8a8-qwen3" },
  { name: "fp8-block-qwen3", notices: GROUPS, rounded: 7 },
  { name: "fp8-tensor-static-ministral3", notices: STATIC },
];

/** Loads a checkpoint under a method, with what was told meanwhile. */
async function load(name: string, method: Method): Promise<{ model: Model; notices: string[] }> {
  const notices: string[] = [];
  const onNotice = (notice: string) => notices.push(notice);
  const model = await Model.load(folderOf(name), { device, onNotice });
  await model.use(method);
  return { model, notices };
}

/** The worst logit and the loss of a model on the rows of its golden file. */
async function compare(
  model: Model,
  name: string,
): Promise<{ worst: number; loss: number; want: number }> {
  const values = await readTensors(join(folderOf(name), "golden.safetensors"));
  const ids = values.get("input_ids")!;
  const rows = 3;
  const length = ids.length / rows;
  const vocab = model.config.vocabSize;
  let [loss, worst] = [0, 0];
  for (let row = 0; row < rows; row++) {
    const inputIds = [...ids.subarray(row * length, (row + 1) * length)];
    const want = values.get("logits")!.subarray(row * length * vocab, (row + 1) * length * vocab);
    worst = Math.max(worst, largestDifference(await model.logits(inputIds), want));
    loss += await model.loss({ inputIds, labels: inputIds }) / rows;
  }
  return { worst, loss, want: values.get("loss")![0] };
}

for (const { name, notices: expected = [], rounded = 0, unquantised = 0 } of CHECKPOINTS) {
  sharedTest(
    `${name}: logits and loss are transformers', from the weights as they are stored`,
    async () => {
      const { model: opened, notices } = await load(name, frozen("f32"));
      using model = opened;
      const { worst, loss, want } = await compare(model, name);
      console.log(`  ${name}: logits within ${worst}, loss within ${Math.abs(loss - want)}`);
      assert(worst < TOLERANCE.logit, `logits differ by ${worst}`);
      assert(Math.abs(loss - want) < TOLERANCE.loss, `loss ${loss}`);
      assertEquals(notices.length, expected.length, notices.join());
      expected.forEach((pattern, i) => assert(pattern.test(notices[i]), notices[i]));
    },
  );

  sharedTest(`${name}: runs in the format that it is stored in`, async () => {
    const isInt8 = name.includes("w8a8");
    const method = isInt8 ? frozenInt8(false) : frozenFp8();
    const { model: opened, notices } = await load(name, method);
    using model = opened;
    const linears = (await model.network()).linears();
    const dense = linears.filter(({ stored }) => !stored).length;
    assertEquals(dense, unquantised);
    const { worst, loss, want } = await compare(model, name);
    console.log(`  ${name}: logits within ${worst}, loss ${loss - want}`);
    assertAlmostEquals(loss, want, 0.04);
    const told = notices.slice(expected.length);
    assertEquals(told.length, rounded > 0 ? 1 : 0, told.join());
    if (rounded > 0) {
      assert(
        told[0].startsWith(`${rounded} linear layers of ${7 * model.config.numLayers} in 8 bits`),
        told[0],
      );
    }
  });
}

sharedTest(
  "the codes of an int8 file are taken as they are, and saved as they were",
  () =>
    withFolder(async (folder) => {
      const source = folderOf("ct-w8a8");
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
