import { assertAlmostEquals, assertEquals } from "@std/assert";
import { type LoraAdapter, loraAdapter, loraLinear } from "./lora.ts";
import { shiftLabels } from "./loss.ts";
import { eachLinear, ReferenceModel } from "./model.ts";
import { AdamW, clipGradNorm } from "./optimizer.ts";
import { packDocuments } from "./token_stream.ts";
import { dot } from "./vector.ts";
import { goldenTest, readModel, readTensors } from "../support/golden.ts";
import { assertGradient, randomNormal } from "../support/gradient.ts";

Deno.test("a LoRA layer's gradients are right by differences", () => {
  const [rows, inputs, outputs, rank] = [4, 5, 3, 2];
  const x = randomNormal(rows * inputs, 1);
  const weight = randomNormal(outputs * inputs, 2);
  const adapter = loraAdapter(randomNormal(rank * inputs, 3), randomNormal(outputs * rank, 4), 1.5);
  const dy = randomNormal(rows * outputs, 5);
  const dx = loraLinear(x, weight, adapter, rows).backward(dy);
  const loss = () => dot(loraLinear(x, weight, adapter, rows).y, 0, dy, 0, dy.length);
  assertGradient(loss, x, dx, "dx");
  assertGradient(loss, adapter.a, adapter.dA, "dA");
  assertGradient(loss, adapter.b, adapter.dB, "dB");
});

/** The file has 30 steps, and all agree within 4e-7; a few say as much and keep the suite quick. */
const steps = 6;

goldenTest(`LoRA training gives the losses of PEFT in its first ${steps} steps`, async () => {
  const { config, parameters } = await readModel("stories260K");
  const golden = await readTensors("golden/peft-lora-stories260K.safetensors");
  const adapters = new Map<string, LoraAdapter>();
  const tensor = (name: string, ab: string) =>
    golden.get(`init.base_model.model.${name}.lora_${ab}.default.weight`)!;
  for (const name of parameters.keys()) {
    const module = name.replace(/\.weight$/, "");
    const a = tensor(module, "A");
    if (a) adapters.set(module, loraAdapter(a, tensor(module, "B"), 16 / 8));
  }
  assertEquals(adapters.size, 5 * 7);
  const model = new ReferenceModel(
    config,
    parameters,
    eachLinear((name, x, rows) =>
      loraLinear(x, parameters.get(`${name}.weight`)!, adapters.get(name)!, rows)
    ),
  );
  const trained = [...adapters.values()].flatMap(({ a, b, dA, dB }) =>
    [[a, dA], [b, dB]].map(([p, gradient]) => ({ p, gradient, optimizer: new AdamW(p.length) }))
  );
  const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0 };
  const batches = golden.get("batches")!;
  for (let step = 0; step < steps; step++) {
    const rows = [0, 1, 2, 3].map((row) => batches.subarray((step * 4 + row) * 64).subarray(0, 64));
    const tokens = packDocuments(rows);
    for (const { gradient } of trained) gradient.fill(0);
    const { loss } = model.lossAndGradients(
      tokens,
      shiftLabels(tokens.inputIds, tokens.documentStart),
    );
    assertAlmostEquals(loss, golden.get("losses")![step], 1e-6, `step ${step}`);
    clipGradNorm(trained.map(({ gradient }) => gradient), 1);
    for (const { p, gradient, optimizer } of trained) optimizer.update(p, gradient, options);
  }
});
