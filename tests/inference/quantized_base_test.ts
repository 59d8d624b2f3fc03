/** Quantised checkpoints of others as a base: what each method makes of their weights, trains and saves. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { join } from "node:path";
import {
  Dataset,
  falqon,
  fp8Lora,
  frozen,
  frozenFp8,
  frozenInt8,
  full,
  int8Lora,
  lora,
  type Method,
  Model,
  qlora,
  readPeftAdapter,
  Trainer,
} from "../../mod.ts";
import { SafetensorsFile } from "../../src/io/safetensors.ts";
import { weightName } from "../../src/layers/load.ts";
import type { Linear } from "../../src/layers/method.ts";
import { FORMATS } from "../../src/numerics/formats.ts";
import { device, expectAllFreed } from "../support/device.ts";
import { withFolder } from "../support/io.ts";
import {
  compressedTensors,
  type QuantizedModelOptions,
  type Scheme,
  SCHEMES,
  writeQuantizedModel,
} from "../support/quantized_model.ts";
import { runCommand } from "../support/terminal.ts";

const BLOCKS = "fp8 per block";
const ids = Array.from({ length: 40 }, (_, i) => 3 + (i * i * 7 + 11 * i) % 250);
const sequence = { inputIds: ids, labels: ids };
const rows = Array.from({ length: 24 }, (_, i) => ({
  prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
  completion: `It is ${"bcdefghi"[i % 8]}.`,
}));

/** A model of some scheme, and what its parameters are. */
async function withScheme(
  scheme: Scheme,
  test: (base: {
    folder: string;
    decoded: Map<string, Float32Array>;
    load: (onNotice?: (notice: string) => void) => Promise<Model>;
  }) => Promise<void>,
  options: QuantizedModelOptions = {},
): Promise<void> {
  await withFolder(async (folder) => {
    await using _ = expectAllFreed();
    const path = join(folder, "base");
    await Deno.mkdir(path);
    const decoded = await writeQuantizedModel(path, scheme, options);
    const load = (onNotice = (_: string) => {}) => Model.load(path, { device, onNotice });
    await test({ folder, decoded, load });
  });
}

/** Calls `visit` with every linear layer of a model. */
async function forLinears(
  model: Model,
  visit: (name: string, linear: Linear, index: number) => Promise<void>,
): Promise<void> {
  for (const linear of (await model.network()).linears()) {
    for (const [index, part] of linear.spec.parts.entries()) {
      await visit(weightName(part), linear, index);
    }
  }
}

/** The largest difference of two arrays, in parts of the largest magnitude. */
function difference(got: Float32Array, want: Float32Array): number {
  const largest = want.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return want.reduce((max, value, i) => Math.max(max, Math.abs(value - got[i])), 0) / largest;
}

for (const [name, scheme] of Object.entries(SCHEMES)) {
  Deno.test(`${name}: in f32 the weights are what the codes say, to the last bit`, () =>
    withScheme(scheme, async ({ decoded, load }) => {
      using model = await load((notice) => assert(!notice.includes("rounded anew"), notice));
      for (const method of [frozen(), lora({ rank: 2 }), full()]) {
        await model.use(method);
        const network = await model.network();
        for (const [parameter, values] of decoded) {
          assertEquals(
            await network.readParameter(parameter),
            values,
            `${method.name} ${parameter}`,
          );
        }
      }
    }));

  if (typeof scheme.weights !== "string") continue;
  Deno.test(`${name}: methods of its format take the codes as they are`, () =>
    withScheme(scheme, async ({ folder, decoded, load }) => {
      const isInt8 = scheme.format === FORMATS.int8;
      const methods: Method[] = isInt8
        ? [frozenInt8(false), falqon({ format: "int8", rotation: false, rank: 3 })]
        : [frozenFp8(), falqon({ rank: 3 }), fp8Lora({ rank: 3 })];
      if (scheme.weights === "tensor") {
        methods.push(frozenFp8("tensor"), falqon({ rank: 3, scaleGranularity: "tensor" }));
      }
      const notices: string[] = [];
      using model = await load((notice) => notices.push(notice));
      using file = await SafetensorsFile.open(join(folder, "base/model.safetensors"));
      for (const method of methods) {
        await model.use(method);
        await forLinears(model, async (parameter, linear, index) => {
          const codes = await linear.stored?.(index);
          if (codes) assertEquals(codes.codes, await file.read(parameter), parameter);
          const off = difference(await linear.readWeight(index), decoded.get(parameter)!);
          assert(off < 1e-6, `${method.name} ${parameter}: ${off}`);
        });
      }
      assert(!notices.join().includes("rounded anew"), notices.join());
    }));
}

Deno.test("scales per block: FP8 rounds them to rows, and keeps what has the largest of a row", () =>
  withScheme(SCHEMES[BLOCKS], async ({ decoded, load }) => {
    for (const method of [frozenFp8(), falqon({ rank: 3 }), fp8Lora({ rank: 3 })]) {
      const notices: string[] = [];
      using model = await load((notice) => notices.push(notice));
      await model.use(method);
      await forLinears(model, async (parameter, linear, index) => {
        const want = decoded.get(parameter)!;
        const got = await linear.readWeight(index);
        assertEquals(got.length, want.length);
        let kept = 0;
        want.forEach((value, i) => {
          // Half a step of three bits; below the normal numbers, of the row's.
          const off = Math.abs(got[i] - value);
          assert(off <= Math.abs(value) / 16 + 1e-5, `${parameter} ${i}: ${got[i]} for ${value}`);
          if (off <= Math.abs(value) * 1e-6) kept++;
        });
        assert(kept > want.length / 4, `${parameter}: ${kept} of ${want.length}`);
      });
      assertEquals(notices.slice(1), [
        `14 linear layers of 14 in 8 bits rounded anew, as ${method.name} stores them with other ` +
        "scales or in another format than the files; a base of f32 takes their values as they are",
      ]);
    }
  }));

Deno.test("methods of other formats round the weights once, and say so", () =>
  withScheme(SCHEMES[BLOCKS], async ({ decoded, load }) => {
    const cases: [Method, number][] = [
      [frozenInt8(), 0.02],
      [int8Lora({ rank: 2 }), 0.02],
      [falqon({ format: "int8", rank: 2 }), 0.02],
      [qlora({ rank: 2 }), 0.2],
      [frozen("f16"), 0.0005],
    ];
    for (const [method, bound] of cases) {
      const notices: string[] = [];
      using model = await load((notice) => notices.push(notice));
      await model.use(method);
      await forLinears(model, async (parameter, linear, index) => {
        const off = difference(await linear.readWeight(index), decoded.get(parameter)!);
        assert(off < bound, `${method.name} ${parameter}: ${off}`);
      });
      const isTold = notices.some((notice) => notice.includes(`rounded anew, as ${method.name}`));
      assertEquals(isTold, method.name !== "frozen");
    }
  }));

/** Trains a little: the losses of the steps. */
async function train(model: Model, method: Method): Promise<number[]> {
  using trainer = await Trainer.create({
    model,
    data: Dataset.from(rows),
    method,
    learningRate: 5e-3,
    steps: 8,
    batchSize: 2,
    sequenceLength: 40,
    logEvery: 1,
    onNotice() {},
  });
  const losses: number[] = [];
  for await (const { loss } of trainer.run()) losses.push(loss);
  return losses;
}

/** The same, and saves, and opens what was saved. */
async function trainAndReload(
  model: Model,
  method: Method,
  output: string,
): Promise<{ losses: number[]; after: number; saved: Model }> {
  const losses = await train(model, method);
  const after = await model.loss(sequence);
  await model.save(output);
  return { losses, after, saved: await Model.load(output, { device }) };
}

for (const name of [BLOCKS, "fp8 static", "compressed-tensors, int8", "AutoFP8"]) {
  Deno.test(`${name}: FALQON trains on it, and what it saves is what it trained`, () =>
    withScheme(SCHEMES[name], async ({ folder, load }) => {
      const isInt8 = name.endsWith("int8");
      const method = falqon({ rank: 4, ...isInt8 && { format: "int8", rotation: false } });
      using model = await load();
      const { losses, after, saved: opened } = await trainAndReload(
        model,
        method,
        join(folder, "out"),
      );
      using saved = opened;
      assert(losses.at(-1)! < losses[0] - 0.1, losses.join());
      await saved.use(isInt8 ? frozenInt8(false) : frozenFp8());
      assertAlmostEquals(await saved.loss(sequence), after, 1e-3);
      const { quantization } = saved.config;
      assertEquals(quantization?.method, "compressed-tensors");
      assertEquals([quantization?.weights, quantization?.otherActivations], ["row", null]);
    }));
}

Deno.test("the other methods train on scales per block, and what they save goes with the same base", () =>
  withScheme(SCHEMES[BLOCKS], async ({ folder, load }) => {
    for (const method of [lora({ rank: 4 }), fp8Lora({ rank: 4 }), full()]) {
      using model = await load();
      const output = join(folder, method.name);
      const losses = await train(model, method);
      assert(losses.at(-1)! < losses[0] - 0.1, `${method.name}: ${losses}`);
      const after = await model.loss(sequence);
      await model.save(output);
      if (method.name === "full") {
        using saved = await Model.load(output, { device });
        assertEquals(saved.config.quantization, null);
        assertAlmostEquals(await saved.loss(sequence), after, 1e-5);
      } else {
        const adapter = await readPeftAdapter(output);
        await model.use(method.name === "lora" ? lora({ adapter }) : fp8Lora({ adapter }));
        assertAlmostEquals(await model.loss(sequence), after, 1e-5);
      }
    }
  }));

Deno.test("full training and frozen models of a quantised base are saved as models", () =>
  withScheme(SCHEMES[BLOCKS], async ({ folder, load }) => {
    using model = await load();
    await model.use(frozen());
    const loss = await model.loss(sequence);
    await model.save(join(folder, "f32"));
    await model.save(join(folder, "fp8"), { saveAs: "fp8" });
    await model.save(join(folder, "bf16"), { saveAs: "bf16" });
    for (const [name, within] of [["f32", 1e-5], ["bf16", 0.01], ["fp8", 0.1]] as const) {
      using saved = await Model.load(join(folder, name), { device });
      assertEquals(saved.config.quantization?.format ?? null, name === "fp8" ? "fp8" : null);
      assertAlmostEquals(await saved.loss(sequence), loss, within);
    }
  }));

/** Tiny models of families with fused layers whose parts are cut by blocks, and with biases. */
const FAMILIES: Record<string, [scheme: string, config: Record<string, unknown>]> = {
  phi3: [BLOCKS, { model_type: "phi3", pad_token_id: 0, sliding_window: null }],
  "phi3 with one scale": ["AutoFP8", { model_type: "phi3", pad_token_id: 0, sliding_window: null }],
  qwen2: ["compressed-tensors, FP8 per row", { model_type: "qwen2", use_sliding_window: false }],
};

for (const [name, [scheme, config]] of Object.entries(FAMILIES)) {
  Deno.test(`${name}: quantised weights keep their own scales, are trained and saved`, () =>
    withScheme(SCHEMES[scheme], async ({ folder, decoded, load }) => {
      using model = await load();
      await model.use(frozen());
      const network = await model.network();
      for (const [parameter, values] of decoded) {
        assertEquals(await network.readParameter(parameter), values, parameter);
      }
      const loss = await model.loss(sequence);
      for (const method of [frozenFp8(), frozenFp8("tensor")]) {
        await model.use(method);
        assertAlmostEquals(await model.loss(sequence), loss, 0.2);
      }
      const method = falqon({ rank: 4 });
      const { losses, after, saved: opened } = await trainAndReload(
        model,
        method,
        join(folder, "out"),
      );
      using saved = opened;
      assert(losses.at(-1)! < losses[0] - 0.1, losses.join());
      await saved.use(frozenFp8());
      assertAlmostEquals(await saved.loss(sequence), after, 1e-3);
    }, { config }));
}

/** Row scales, with a list of modules that are not quantised. */
function ignoring(...ignore: string[]): Scheme {
  const scheme = SCHEMES["compressed-tensors, FP8 per row"];
  const more = { ignore: ["lm_head", ...ignore] };
  const quantization = compressedTensors({ strategy: "channel" }, { strategy: "token" }, more);
  return { ...scheme, quantization };
}

Deno.test("linear layers that the files leave unquantised stay so in the frozen model, and when it is saved", () =>
  withScheme(
    ignoring("re:.*down_proj", "model.layers.0.self_attn.k_proj"),
    async ({ folder, decoded, load }) => {
      const notices: string[] = [];
      using model = await load((notice) => notices.push(notice));
      await model.use(frozenFp8());
      const dense: string[] = [];
      // Codes that share a product with an unquantised layer are no values of BF16.
      const compare = async (model: Model, exact: number) => {
        dense.length = 0;
        await forLinears(model, async (parameter, linear, index) => {
          if (!linear.stored) dense.push(parameter);
          const bound = linear.stored ? 1e-6 : exact;
          const off = difference(await linear.readWeight(index), decoded.get(parameter)!);
          assert(off <= bound, `${parameter}: ${off}`);
        });
      };
      await compare(model, device.hasF16 ? 2 ** -11 : 0);
      // q and v share a product with k, so their values are taken too.
      const wanted = [
        ...["q", "k", "v"].map((part) => `model.layers.0.self_attn.${part}_proj.weight`),
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
      ];
      assertEquals(dense, wanted);
      assertEquals(notices, []);
      const loss = await model.loss(sequence);
      // Activations in f16, as on GPUs, add their own rounding.
      const tolerance = device.tuning.f16Storage.activations ? 0.03 : 0.02;
      const written = join(folder, "out");
      assertEquals(await model.save(written), { rounded: true });
      using saved = await Model.load(written, { device });
      const modules = wanted.map((parameter) => parameter.replace(/\.weight$/, ""));
      assertEquals(saved.config.quantization?.ignore, ["lm_head", ...modules]);
      await saved.use(frozenFp8());
      await compare(saved, 2 ** -8);
      assertEquals(dense, wanted);
      assertAlmostEquals(await saved.loss(sequence), loss, tolerance);
    },
    { unquantised: ["down_proj", "layers.0.self_attn.k_proj"] },
  ));

Deno.test("int8 that is rotated is saved so beside layers that are not quantised", () =>
  withScheme(
    ignoring("re:.*o_proj"),
    async ({ folder, load }) => {
      using model = await load();
      await model.use(frozenInt8());
      const loss = await model.loss(sequence);
      const written = join(folder, "out");
      await model.save(written, { rotated: true });
      using saved = await Model.load(written, { device });
      assertEquals(saved.config.quantization?.transforms.rotations.size, 12);
      await saved.use(frozenInt8());
      assertAlmostEquals(await saved.loss(sequence), loss, 0.02);
    },
    { unquantised: ["o_proj"] },
  ));

Deno.test("methods that train quantise what the files leave unquantised, and say so", () =>
  withScheme(
    ignoring("re:.*down_proj"),
    async ({ folder, load }) => {
      for (const method of [falqon({ rank: 3 }), fp8Lora({ rank: 3 }), qlora({ rank: 3 })]) {
        const notices: string[] = [];
        using model = await load((notice) => notices.push(notice));
        await model.use(method);
        const told = `${method.name} quantises 2 linear layers that the files leave unquantised`;
        assert(notices.includes(told), notices.join());
        await forLinears(model, async (_, linear, index) => {
          assertEquals((await linear.stored?.(index))?.codes.length === 0, false);
        });
      }
      using model = await load();
      const { after, saved: opened } = await trainAndReload(
        model,
        falqon({ rank: 4 }),
        join(folder, "out"),
      );
      using saved = opened;
      assertEquals(saved.config.quantization?.ignore, ["lm_head"]);
      await saved.use(frozenFp8());
      assertAlmostEquals(await saved.loss(sequence), after, 1e-3);
    },
    { unquantised: ["down_proj"] },
  ));

Deno.test("the command line says what of a quantised model is not used, and what is rounded anew", () =>
  withScheme(SCHEMES["compressed-tensors, FP8 per block"], async ({ folder }) => {
    const data = join(folder, "data.jsonl");
    await Deno.writeTextFile(data, rows.map((row) => JSON.stringify(row)).join("\n"));
    const { code, out, err } = await runCommand(`eval --model ${folder}/base --data ${data}`);
    assertEquals(code, 0, err);
    assert(err.includes("note: the model wants a scale for each 128 values"), err);
    assert(err.includes("note: 14 linear layers of 14 in 8 bits rounded anew, as frozen-fp8"), err);
    assert(Number.isFinite(JSON.parse(out.trim().split("\n").at(-1)!).loss));
    const exact = await runCommand(`eval --model ${folder}/base --data ${data} --base f32`);
    assert(!exact.err.includes("rounded anew"), exact.err);
    const inspected = await runCommand(`inspect ${folder}/base --rank 4`);
    assert(
      inspected.out.includes("fp8, one scale per block of 16×24 of weights and per row of"),
      inspected.out,
    );
  }));
