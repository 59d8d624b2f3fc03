import { assertEquals, assertRejects } from "@std/assert";
import { ModelError } from "../../src/errors.ts";
import { fromFloat32 } from "../../src/io/dtype.ts";
import { writeSafetensors } from "../../src/io/safetensors_writer.ts";
import { Weights } from "../../src/io/weights.ts";
import type { LinearSpec } from "../../src/layers/linear_spec.ts";
import { QuantizedWeight } from "../../src/layers/storage/quantized_weight.ts";
import { FolderSource } from "../../src/layers/weight_source.ts";
import { ALL_FORMATS, codecOf, decodeCodes, FORMATS } from "../../src/numerics/formats.ts";
import { device } from "../support/device.ts";

const SHAPE = [3, 20] as const;
const SCALE = 0.125;
const values = Float32Array.from({ length: 60 }, (_, i) => (i % 11 - 5) / 4);
const coded = ALL_FORMATS.filter(({ codec }) => codec);

/** A folder with a tensor in each format of codes, one scale for the tensor, and one tensor without its scale. */
async function withFolder(action: (source: FolderSource) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const tensors = coded.flatMap((format) => [{
    name: `${format.name}.weight`,
    dtype: format.dtype,
    shape: [...SHAPE],
    data: () => codecOf(format).encode(values),
  }, {
    name: `${format.name}.weight_scale`,
    dtype: "F32" as const,
    shape: [1],
    data: () => fromFloat32(Float32Array.of(SCALE), "F32"),
  }]);
  const bare = { ...tensors[0], name: "bare.weight" };
  await writeSafetensors(`${folder}/model.safetensors`, [...tensors, bare]);
  const weights = await Weights.open(folder);
  try {
    await action(new FolderSource(weights));
  } finally {
    weights.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a tensor's dtype tells the format of its codes", () =>
  withFolder(async (source) => {
    for (const format of coded) {
      const stored = (await source.codes(`${format.name}.weight`, SHAPE))!;
      assertEquals(stored.format, format);
      assertEquals(stored.codes, codecOf(format).encode(values));
      assertEquals([...stored.valueScales], [SCALE, SCALE, SCALE]);
    }
    const message = '"bare.weight" as it is stored in e4m3 and "bare.weight_scale" is missing';
    await assertRejects(() => source.codes("bare.weight", SHAPE), ModelError, message);
  }));

Deno.test("a quantised weight takes codes of its format as they are, and encodes those of others again", () =>
  withFolder(async (source) => {
    for (const format of coded) {
      const part = { module: format.name, kind: "q_proj", rows: SHAPE[0], start: 0 };
      const spec: LinearSpec = { name: "x", inFeatures: SHAPE[1], width: 16, parts: [part] };
      const weight = new QuantizedWeight(device, spec, FORMATS.e4m3);
      assertEquals(await weight.loadPart(part, source), null);
      const got = await weight.readStored(part);
      const codes = codecOf(format).encode(values);
      if (format === FORMATS.e4m3) {
        assertEquals(got, {
          format,
          codes,
          valueScales: new Float32Array(3).fill(SCALE),
          rotation: 1,
        });
      } else {
        const rounded = decodeCodes(format, codes).map((value) => value * SCALE);
        const largest = Math.max(...rounded.map(Math.abs));
        const want = codecOf(FORMATS.e4m3).encode(
          rounded.map((value) => value * Math.fround(FORMATS.e4m3.max / largest)),
        );
        assertEquals(got.codes, want);
      }
      weight.free();
    }
  }));
