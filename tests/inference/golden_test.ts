import { assert } from "@std/assert";
import { requestDevice } from "../../src/gpu/device.ts";
import { Model } from "../../src/inference/model.ts";
import { goldenTest, readTensors, sharedPath } from "../support/golden.ts";
import { relativeError } from "../support/gpu.ts";

for (const name of ["stories260K", "babyllama-0.97M"]) {
  goldenTest(`${name}: logits, loss and gradients equal transformers'`, async () => {
    using device = await requestDevice();
    using model = await Model.load(`${sharedPath}models/${name}`, { device });
    const golden = await readTensors(`golden/golden-${name}-open.safetensors`);
    for (let i = 0; golden.has(`case${i}.input_ids`); i++) {
      const inputIds = golden.get(`case${i}.input_ids`)!;
      const labels = golden.get(`case${i}.labels`)!;
      const logits = await model.logits(inputIds);
      const want = golden.get(`case${i}.logits`)!;
      const worst = want.reduce((max, v, j) => Math.max(max, Math.abs(v - logits[j])), 0);
      assert(worst <= 2e-3, `case ${i}: a logit is off by ${worst}`);
      const loss = await model.loss({ inputIds, labels });
      const difference = Math.abs(loss - golden.get(`case${i}.loss`)![0]);
      assert(difference <= 1e-4, `case ${i}: the loss is off by ${difference}`);
      console.log(`  ${name} case ${i}: logits within ${worst}, loss within ${difference}`);
    }
    const [inputIds, labels] = [golden.get("case0.input_ids")!, golden.get("case0.labels")!];
    const { gradients } = await model.lossAndGradients({ inputIds, labels });
    const names = [...golden.keys()].filter((key) => key.startsWith("case0.grad."));
    assert(names.length === gradients.size);
    for (const key of names) {
      const error = relativeError(
        gradients.get(key.slice("case0.grad.".length))!,
        golden.get(key)!,
      );
      assert(error <= 1e-3, `${key} is off by ${error}`);
    }
  });
}
