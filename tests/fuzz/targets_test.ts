/** Some inputs of every target; `deno task fuzz` tries many. */

import { assert, assertEquals } from "@std/assert";
import { runCampaign } from "./frame/campaign.ts";
import { gateInputs, loadTarget, targetModule, targetNames } from "./frame/target.ts";

const SEED = 7;

for (const name of targetNames()) {
  Deno.test(`${name} refuses or understands every input of the first of seed ${SEED}`, async () => {
    const module = targetModule(name);
    const target = await loadTarget(module);
    const count = gateInputs(target);
    const { findings, ...sums } = await runCampaign({ module, seed: SEED, count });
    assertEquals(
      findings.map(({ index, outcome, problem }) => `${outcome} --at ${index}: ${problem}`),
      [],
      `deno task fuzz ${name} 1 ${SEED} --at INDEX shows one`,
    );
    assertEquals(sums.inputs, count);
    assert(sums.accepted > 0, "no input is sound: nothing but the first check is tried");
    assertEquals(sums.named === 0, target.refusesNothing ?? false, `${sums.named} are refused`);
  });
}
