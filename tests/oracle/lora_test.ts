import { assertAlmostEquals, assertEquals } from "@std/assert";
import { type LoraAdapter, loraAdapter, loraLinear } from "./lora.ts";
import { shiftLabels } from "./loss.ts";
import { eachLinear, ReferenceModel } from "./model.ts";
import { AdamW, clipGradNorm } from "./optimizer.ts";
import { packDocuments } from "./token_stream.ts";
import { dot } from "./vector.ts";
import { LORA_RUNS, readLora, readModel } from "../support/golden.ts";
import { assertGradient } from "../support/gradient.ts";
import { randomNormal } from "../support/random.ts";

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

/** A few steps say as much as all, which agree within 4e-7, and keep the suite quick. */
const steps = 6;

for (const run of LORA_RUNS) {
  run.test(`${run.name}: LoRA training gives PEFT's losses in its first ${steps} steps`, async () => {
    const { config, parameters } = await readModel(run);
    const { init, batches, losses } = await readLora(run);
    const scale = init.config.alpha / init.config.rank;
    const adapters = new Map(
      [...init.tensors].map(([module, { A, B }]): [string, LoraAdapter] => [
        module,
        loraAdapter(Float64Array.from(A), Float64Array.from(B), scale),
      ]),
    );
    assertEquals(adapters.size, config.numLayers * 7);
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
    for (const [step, rows] of batches.slice(0, steps).entries()) {
      const tokens = packDocuments(rows);
      for (const { gradient } of trained) gradient.fill(0);
      const { loss } = model.lossAndGradients(
        tokens,
        shiftLabels(tokens.inputIds, tokens.documentStart),
      );
      assertAlmostEquals(loss, losses[step], 1e-6, `step ${step}`);
      clipGradNorm(trained.map(({ gradient }) => gradient), 1);
      for (const { p, gradient, optimizer } of trained) optimizer.update(p, gradient, options);
    }
  });
}
