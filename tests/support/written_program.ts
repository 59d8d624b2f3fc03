/** Training steps as text, a line for each dispatch: recorded on GPUs that are not there. */

import type { Method } from "../../mod.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { type Bindings, Program } from "../../src/gpu/program.ts";
import { StepState } from "../../src/gpu/step_state.ts";
import type { WeightSource } from "../../src/layers/weight_source.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { Network } from "../../src/model/network.ts";

/** No multiple of a tile. */
const TOKENS = 123;

const NO_WEIGHTS: WeightSource = {
  rows: () => Promise.reject(new TypeError("There are no weights to read")),
  codes: () => Promise.resolve(null),
  fill: () => {},
};

/** A program that writes down what is recorded: a line for each dispatch. */
class WrittenProgram extends Program {
  readonly lines: string[] = [];

  override phase(name: string): void {
    super.phase(name);
    this.lines.push(`  ${name}`);
  }

  override dispatch(
    kernel: Kernel,
    bindings: Bindings,
    params: Readonly<Record<string, number>>,
    grid: [number, number?, number?],
    cost: { label?: string } = {},
  ): void {
    super.dispatch(kernel, bindings, params, grid, cost);
    const values = kernel.layout.params.map(({ name }) => params[name]);
    const bytes = Object.values(bindings).reduce((sum, { size }) => sum + size, 0);
    const digest = checksum(values.join());
    const line = [kernel.name, grid.join("×"), digest, `${bytes} B`, cost.label ?? ""];
    this.lines.push(`    ${line.join("  ").trimEnd()}`);
  }

  override copy(...views: Parameters<Program["copy"]>): void {
    super.copy(...views);
    this.lines.push(`    copy ${views[0].size} B`);
  }

  override clear(view: Parameters<Program["clear"]>[0]): void {
    super.clear(view);
    this.lines.push(`    clear ${view.size} B`);
  }
}

/** Eight hexadecimal digits that tell texts apart (FNV-1a). */
function checksum(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** Records forward, losses and backward of a step, and what the method adds after the optimizer. */
export async function recordStep(
  device: Device,
  config: ModelConfig,
  method: Method,
  checkpointing = false,
): Promise<string[]> {
  using network = await Network.create({
    device,
    config,
    method,
    source: NO_WEIGHTS,
    random: () => 0,
    gradients: true,
    moments: true,
    restoring: true, // adapters are not computed
  });
  network.reserve({ tokens: TOKENS, training: true, checkpointing });
  using state = new StepState(device, { beta1: 0, beta2: 0 });
  const program = new WrittenProgram(device);
  network.recordTraining(program, TOKENS, state);
  program.phase("update");
  network.layers.update?.(program, state);
  return program.lines;
}
