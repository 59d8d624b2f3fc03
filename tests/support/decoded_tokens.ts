/** Generation with a cache against logits() of the whole text. */

import { assertEquals } from "@std/assert";
import { Model } from "../../mod.ts";
import { frozenFp8 } from "../../src/methods/falqon/falqon.ts";
import { frozen } from "../../src/methods/frozen.ts";
import { activationTypes } from "../../src/model/activation_types.ts";
import { CachedText } from "../../src/model/cached_text.ts";
import { device, expectAllFreed } from "./device.ts";

/** Expects the logits of every token behind the prompt to be those of logits(), bit for bit, in f32 and f16. */
export async function expectDecodedAsLogits(folder: string, ids: readonly number[]): Promise<void> {
  const prompt = 19;
  for (const [method, type] of [[frozen(), "f32"], [frozenFp8(), "f16"]] as const) {
    const f16Storage = { activations: type === "f16", gradients: false };
    device.tuning = { ...device.tuning, f16Storage };
    await using _ = expectAllFreed();
    using model = await Model.load(folder, { device });
    const network = await model.adapt(method, { random: () => 0 });
    assertEquals(activationTypes(network.blocks).rotated, type);
    // So few rows of memory take the prompt in groups.
    network.reserve({ tokens: 9, training: false, checkpointing: false });
    const want = await model.logits(ids);
    using text = new CachedText(network, ids.length);
    await text.append(ids.slice(0, prompt));
    for (let t = prompt - 1; t < ids.length; t++) {
      if (t >= prompt) await text.append([ids[t]]);
      const row = want.subarray(t * model.config.vocabSize, (t + 1) * model.config.vocabSize);
      assertEquals(await text.logits(), row, `token ${t}`);
    }
  }
}
